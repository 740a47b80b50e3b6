package worker

import "time"

// State is what a [Connector] is doing.
type State string

// The states.
const (
	Starting   State = "starting"   // a worker is being started
	Ready      State = "ready"      // a worker serves
	Restarting State = "restarting" // waiting before the next attempt
	Dead       State = "dead"       // too many workers ended; one attempt per Restart.Max
	Closed     State = "closed"
)

// Reason classifies the end of a worker.
type Reason string

// The reasons.
const (
	ReasonCrash       Reason = "crash"          // a signal that this side did not send
	ReasonExit        Reason = "exit"           // it left by itself
	ReasonHang        Reason = "hang"           // killed: no progress within HangTimeout
	ReasonMemoryLimit Reason = "memory limit"   // killed: more private memory than MemoryLimit
	ReasonProtocol    Reason = "protocol"       // killed: it wrote or sent what it must not
	ReasonStart       Reason = "start"          // it did not come up, for none of the other reasons
	ReasonHost        Reason = "killed by host" // at the end of Close or Replace
)

// Status is a snapshot of a [Connector]. Counters count since Open, over all
// workers.
type Status struct {
	State  State     `json:"state"`
	Reason string    `json:"reason,omitempty"` // a sentence; "" when there is nothing to say
	Since  time.Time `json:"since"`            // of State

	Program string `json:"program"`           // path of the worker program
	Version string `json:"version,omitempty"` // of the worker program
	Library string `json:"library"`
	Pid     int    `json:"pid,omitempty"` // 0 = no worker is up

	// Restarts is how often a worker that ended was replaced by one that opened.
	Restarts int64 `json:"restarts"`
	// Replaces is how often Replace has succeeded.
	Replaces int64 `json:"replaces"`
	// LastReason, LastSignal and LastExitCode tell how the latest worker that ended
	// did so; LastExitCode is -1 for one that was ended by a signal, and meaningless
	// without a LastReason.
	LastReason   Reason `json:"last_reason,omitempty"`
	LastSignal   string `json:"last_signal,omitempty"` // "SIGSEGV"
	LastExitCode int    `json:"last_exit_code"`
	LastText     string `json:"last_text,omitempty"` // a sentence
	// LastLines is the end of what workers printed and logged, oldest first.
	LastLines []string `json:"last_lines,omitempty"`
	// LostLines is how many lines were dropped, because they came faster than they
	// may, or faster than they were taken.
	LostLines int64 `json:"lost_lines"`

	InFlight int `json:"in_flight"` // batches that workers have
	// BouncedBatches and BouncedBytes count batches, and bytes of values, that had
	// to be copied because their memory is not shared with the worker.
	BouncedBatches int64 `json:"bounced_batches"`
	BouncedBytes   int64 `json:"bounced_bytes"`
	// FailedBatches is how many batches were in flight when their worker ended.
	FailedBatches int64 `json:"failed_batches"`
	// MappedBytes is the memory that the present worker shares with this process.
	MappedBytes int64 `json:"mapped_bytes"`
	// RSSAnon is the private memory of the present worker in bytes, as last looked
	// at; 0 = not known.
	RSSAnon int64 `json:"rss_anon"`
	// UnknownTickets and WrongOps count completions that fit no batch in flight,
	// and those with another operation than their batch.
	UnknownTickets int64 `json:"unknown_tickets"`
	WrongOps       int64 `json:"wrong_ops"`

	// Changed and Warnings are what the present worker noticed when it loaded and
	// opened the library.
	Changed  []string `json:"changed,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}
