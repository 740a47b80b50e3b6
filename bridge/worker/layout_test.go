//go:build linux && (amd64 || arm64)

package worker

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestTheLayoutIsThatOfTheHeader compares the structs with what ring.h asserts.
func TestTheLayoutIsThatOfTheHeader(t *testing.T) {
	header, err := os.ReadFile("../../native/worker/ring.h")
	require.NoError(t, err)
	var head ringHead
	want := map[string]uintptr{
		"sizeof(sixcall_submission)":      unsafe.Sizeof(submission{}),
		"sizeof(sixcall_ring_completion)": unsafe.Sizeof(record{}),
		"sizeof(sixcall_ring)":            unsafe.Sizeof(head),
	}
	for name, offset := range map[string]uintptr{
		"sq_tail": unsafe.Offsetof(head.SQTail), "sq_head": unsafe.Offsetof(head.SQHead), "sq_need_wake": unsafe.Offsetof(head.SQNeedWake),
		"cq_tail": unsafe.Offsetof(head.CQTail), "cq_head": unsafe.Offsetof(head.CQHead), "cq_need_wake": unsafe.Offsetof(head.CQNeedWake),
		"call": unsafe.Offsetof(head.Call), "call_ticket": unsafe.Offsetof(head.CallTicket), "completions": unsafe.Offsetof(head.Completions),
	} {
		want["offsetof(sixcall_ring, "+name+")"] = offset
	}
	found := regexp.MustCompile(`SIXCALL_RING_ASSERT\(((?:sizeof|offsetof)\([^)]*\)) == (\d+)\)`).FindAllStringSubmatch(string(header), -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		require.Contains(t, want, m[1])
		require.EqualValues(t, n, want[m[1]], m[1])
	}
	for name, value := range map[string]string{
		"SIXCALL_RING_MAGIC": "UINT64_C(0x31474E4952584953)", "SIXCALL_RING_VERSION": "1u", "SIXCALL_RING_CANCEL": "0x100u",
		"SIXCALL_RING_WAKE_ALWAYS": "2u", "SIXCALL_CALL_SUBMIT": "0x1000u", "SIXCALL_CALL_DRAIN": "0x2000u", "SIXCALL_CALL_EVENT_FD": "0x2001u",
	} {
		require.Contains(t, string(header), "#define "+name+" "+value)
	}
	require.EqualValues(t, 0x31474E4952584953, uint64(ringMagic))
}

func TestMappingsLieOverEachOther(t *testing.T) {
	all := []mapping{{span: span{0x1000, 0x9000, 1 << 40}}, {span: span{0x3000, 0x5000, 2 << 40}}, {span: span{0x4000, 0x5000, 3 << 40}}, {span: span{0x20000, 0x21000, 0}}}
	s := layOut(all)
	for at, want := range map[uintptr]uint64{0x1000: 1, 0x2fff: 1, 0x3000: 2, 0x3fff: 2, 0x4000: 3, 0x4fff: 3, 0x5000: 1, 0x8fff: 1} {
		found := s.find(at, 1)
		require.NotNil(t, found, "%#x", at)
		require.Equal(t, want<<40, found.shift, "%#x", at)
	}
	require.Nil(t, s.find(0x9000, 1))
	require.Nil(t, s.find(0xfff, 1))
	require.Nil(t, s.find(0x2fff, 2), "across two mappings")
	require.Nil(t, s.find(0x20fff, 2))
	require.NotNil(t, s.find(0x20fff, 1))
	require.Nil(t, s.find(0x1000, ^uintptr(0)))
}

func FuzzMessagesOfAWorker(f *testing.F) {
	for _, kind := range []any{loadRequest{library: "x"}, openRequest{instance: "i"}, listRequest{cursor: []byte("abc")}, mapRequest{1, 2, true}} {
		f.Add(encode(7, kind))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, body, _ := decode(data)
		if page, ok := body.(listReply); ok {
			_, _, _ = page.decode()
		}
	})
}
