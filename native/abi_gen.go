// Code generated from include/sixcall/connector.h by internal/abigen. DO NOT EDIT.

package native

// The constants of connector.h.
const (
	cABIMajor          = 1
	cABIMinor          = 0
	cEntrySymbol       = "sixcall_connector_entry_v1"
	cOk                = 0
	cEInval            = -1
	cEAgain            = -2
	cEClosed           = -3
	cEUnsupported      = -4
	cEIo               = -5
	cENomem            = -6
	cETimeout          = -7
	cECancelled        = -8
	cEAuth             = -9
	cEConnect          = -10
	cEConfig           = -11
	cEInternal         = -12
	cEVersion          = -13
	cEBusy             = -14
	cENospace          = -15
	cECorrupt          = -16
	cOpGet             = 1
	cOpSet             = 2
	cOpExists          = 3
	cOpDelete          = 4
	cOpPing            = 5
	cOpList            = 6
	cStatusMiss        = 0
	cStatusHit         = 1
	cStatusError       = 2
	cStatusSize        = 3
	cStatusCancelled   = 4
	cStatusTimeout     = 5
	cStatusRefused     = 6
	cStatusCorrupt     = 7
	cStatusUnset       = 0xFF
	cCapDelete         = 1 << 0
	cCapLimits         = 1 << 1
	cCapPing           = 1 << 2
	cCapCancel         = 1 << 3
	cCapRegisterMemory = 1 << 4
	cCapUsage          = 1 << 5
	cCapList           = 1 << 6
	cCapStatsText      = 1 << 7
	cCapExtensions     = 1 << 8
	cCapReadYourWrites = 1 << 16
	cCapDeadline       = 1 << 17
	cCapPersistent     = 1 << 18
	cCapValueLens      = 1 << 19
	cThreadsSerial     = 0
	cThreadsPerHandle  = 1
	cThreadsParallel   = 2
	cLogError          = 0
	cLogWarn           = 1
	cLogInfo           = 2
	cLogDebug          = 3
	cMemoryAnonymous   = 0
	cMemoryFD          = 1
	cLenUnknown        = 1<<64 - 1
	cPageLast          = 1
	cAPIRequiredSize   = 120
	cNoteName          = "sixcall"
	cNoteType          = 1
)

// Sizes and field offsets in bytes.
const (
	sizeofErr                     = 256
	offsetofErrStructSize         = 0
	offsetofErrCode               = 4
	offsetofErrVendorCode         = 8
	offsetofErrLen                = 12
	offsetofErrMsg                = 16
	sizeofHost                    = 56
	offsetofHostStructSize        = 0
	offsetofHostABIMajor          = 4
	offsetofHostABIMinor          = 6
	offsetofHostFeatures          = 8
	offsetofHostName              = 16
	offsetofHostVersion           = 24
	offsetofHostLogCtx            = 32
	offsetofHostLog               = 40
	offsetofHostLogLevel          = 48
	offsetofHostReserved          = 52
	sizeofOpenArgs                = 56
	offsetofOpenArgsStructSize    = 0
	offsetofOpenArgsFlags         = 4
	offsetofOpenArgsConfigJSON    = 8
	offsetofOpenArgsConfigLen     = 16
	offsetofOpenArgsInstance      = 24
	offsetofOpenArgsMaxInflight   = 32
	offsetofOpenArgsMaxBatch      = 36
	offsetofOpenArgsValueLenHint  = 40
	offsetofOpenArgsOpenTimeoutMS = 48
	offsetofOpenArgsReserved      = 52
	sizeofItem                    = 32
	offsetofItemKey               = 0
	offsetofItemKeyLen            = 8
	offsetofItemFlags             = 12
	offsetofItemBuf               = 16
	offsetofItemLen               = 24
	sizeofBatch                   = 72
	offsetofBatchStructSize       = 0
	offsetofBatchFlags            = 4
	offsetofBatchTicket           = 8
	offsetofBatchN                = 16
	offsetofBatchItemStride       = 20
	offsetofBatchItems            = 24
	offsetofBatchStatus           = 32
	offsetofBatchValueLens        = 40
	offsetofBatchErr              = 48
	offsetofBatchDeadlineNS       = 56
	offsetofBatchMemHandle        = 64
	sizeofCompletion              = 32
	offsetofCompletionTicket      = 0
	offsetofCompletionRC          = 8
	offsetofCompletionOp          = 12
	offsetofCompletionNOk         = 16
	offsetofCompletionFlags       = 20
	offsetofCompletionDoneNS      = 24
	sizeofLimits                  = 32
	offsetofLimitsStructSize      = 0
	offsetofLimitsMaxBatch        = 4
	offsetofLimitsMaxKeyLen       = 8
	offsetofLimitsBufAlign        = 12
	offsetofLimitsMaxValueLen     = 16
	offsetofLimitsBestBatch       = 24
	offsetofLimitsMaxInflight     = 28
	sizeofMemory                  = 40
	offsetofMemoryStructSize      = 0
	offsetofMemoryKind            = 4
	offsetofMemoryBase            = 8
	offsetofMemoryLen             = 16
	offsetofMemoryFD              = 24
	offsetofMemoryFlags           = 28
	offsetofMemoryOffset          = 32
	sizeofUsage                   = 32
	offsetofUsageStructSize       = 0
	offsetofUsageFlags            = 4
	offsetofUsageBytesUsed        = 8
	offsetofUsageBytesCapacity    = 16
	offsetofUsageKeys             = 24
	sizeofPage                    = 256
	offsetofPageStructSize        = 0
	offsetofPageN                 = 4
	offsetofPageBuf               = 8
	offsetofPageCap               = 16
	offsetofPageUsed              = 24
	offsetofPageCursorLen         = 32
	offsetofPageFlags             = 36
	offsetofPageCursor            = 40
	sizeofAPI                     = 200
	offsetofAPIStructSize         = 0
	offsetofAPIABIMajor           = 4
	offsetofAPIABIMinor           = 6
	offsetofAPICaps               = 8
	offsetofAPINeeds              = 16
	offsetofAPIThreadModel        = 24
	offsetofAPIReserved           = 28
	offsetofAPIName               = 32
	offsetofAPIVersion            = 40
	offsetofAPIVendor             = 48
	offsetofAPIConfigSchema       = 56
	offsetofAPIOpen               = 64
	offsetofAPIEventFD            = 72
	offsetofAPISubmitBatchGet     = 80
	offsetofAPISubmitBatchSet     = 88
	offsetofAPISubmitBatchExists  = 96
	offsetofAPIDrainCompletions   = 104
	offsetofAPIClose              = 112
	offsetofAPISubmitBatchDelete  = 120
	offsetofAPILimits             = 128
	offsetofAPISubmitPing         = 136
	offsetofAPICancel             = 144
	offsetofAPIRegisterMemory     = 152
	offsetofAPIUnregisterMemory   = 160
	offsetofAPIUsage              = 168
	offsetofAPISubmitList         = 176
	offsetofAPIStatsText          = 184
	offsetofAPIGetExtension       = 192
	sizeofNote                    = 132
	offsetofNoteNamesz            = 0
	offsetofNoteDescsz            = 4
	offsetofNoteType              = 8
	offsetofNoteName              = 12
	offsetofNoteABIMajor          = 20
	offsetofNoteABIMinor          = 22
	offsetofNoteTableSize         = 24
	offsetofNoteCapsLo            = 28
	offsetofNoteCapsHi            = 32
	offsetofNoteVendor            = 36
	offsetofNoteProduct           = 68
	offsetofNoteVersion           = 100
)

// cErr mirrors sixcall_err. Pointers are addresses outside the Go heap.
type cErr struct {
	StructSize uint32
	Code       int32
	VendorCode int32
	Len        uint32
	Msg        [240]byte
}

// cHost mirrors sixcall_host. Pointers are addresses outside the Go heap.
type cHost struct {
	StructSize uint32
	ABIMajor   uint16
	ABIMinor   uint16
	Features   uint64
	Name       uintptr
	Version    uintptr
	LogCtx     uintptr
	Log        uintptr
	LogLevel   int32
	Reserved   uint32
}

// cOpenArgs mirrors sixcall_open_args. Pointers are addresses outside the Go heap.
type cOpenArgs struct {
	StructSize    uint32
	Flags         uint32
	ConfigJSON    uintptr
	ConfigLen     uint64
	Instance      uintptr
	MaxInflight   uint32
	MaxBatch      uint32
	ValueLenHint  uint64
	OpenTimeoutMS uint32
	Reserved      uint32
}

// cItem mirrors sixcall_item. Pointers are addresses outside the Go heap.
type cItem struct {
	Key    uintptr
	KeyLen uint32
	Flags  uint32
	Buf    uintptr
	Len    uint64
}

// cBatch mirrors sixcall_batch. Pointers are addresses outside the Go heap.
type cBatch struct {
	StructSize uint32
	Flags      uint32
	Ticket     uint64
	N          uint32
	ItemStride uint32
	Items      uintptr
	Status     uintptr
	ValueLens  uintptr
	Err        uintptr
	DeadlineNS uint64
	MemHandle  uint64
}

// cCompletion mirrors sixcall_completion. Pointers are addresses outside the Go heap.
type cCompletion struct {
	Ticket uint64
	RC     int32
	Op     uint32
	NOk    uint32
	Flags  uint32
	DoneNS uint64
}

// cLimits mirrors sixcall_limits. Pointers are addresses outside the Go heap.
type cLimits struct {
	StructSize  uint32
	MaxBatch    uint32
	MaxKeyLen   uint32
	BufAlign    uint32
	MaxValueLen uint64
	BestBatch   uint32
	MaxInflight uint32
}

// cMemory mirrors sixcall_memory. Pointers are addresses outside the Go heap.
type cMemory struct {
	StructSize uint32
	Kind       uint32
	Base       uintptr
	Len        uint64
	FD         int32
	Flags      uint32
	Offset     uint64
}

// cUsage mirrors sixcall_usage. Pointers are addresses outside the Go heap.
type cUsage struct {
	StructSize    uint32
	Flags         uint32
	BytesUsed     uint64
	BytesCapacity uint64
	Keys          uint64
}

// cPage mirrors sixcall_page. Pointers are addresses outside the Go heap.
type cPage struct {
	StructSize uint32
	N          uint32
	Buf        uintptr
	Cap        uint64
	Used       uint64
	CursorLen  uint32
	Flags      uint32
	Cursor     [216]uint8
}

// cAPI mirrors sixcall_api. Pointers are addresses outside the Go heap.
type cAPI struct {
	StructSize        uint32
	ABIMajor          uint16
	ABIMinor          uint16
	Caps              uint64
	Needs             uint64
	ThreadModel       uint32
	Reserved          uint32
	Name              uintptr
	Version           uintptr
	Vendor            uintptr
	ConfigSchema      uintptr
	Open              uintptr
	EventFD           uintptr
	SubmitBatchGet    uintptr
	SubmitBatchSet    uintptr
	SubmitBatchExists uintptr
	DrainCompletions  uintptr
	Close             uintptr
	SubmitBatchDelete uintptr
	Limits            uintptr
	SubmitPing        uintptr
	Cancel            uintptr
	RegisterMemory    uintptr
	UnregisterMemory  uintptr
	Usage             uintptr
	SubmitList        uintptr
	StatsText         uintptr
	GetExtension      uintptr
}

// cNote mirrors sixcall_note. Pointers are addresses outside the Go heap.
type cNote struct {
	Namesz    uint32
	Descsz    uint32
	Type      uint32
	Name      [8]byte
	ABIMajor  uint16
	ABIMinor  uint16
	TableSize uint32
	CapsLo    uint32
	CapsHi    uint32
	Vendor    [32]byte
	Product   [32]byte
	Version   [32]byte
}
