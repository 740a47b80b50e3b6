//go:build cgo

package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// fail writes err where the host reads it.
func fail(out *C.sixcall_error, err error) {
	out.code = C.int32_t(codeOf(err))
	text := unsafe.Slice((*byte)(unsafe.Pointer(&out.text[0])), len(out.text))
	n := copy(text[:len(text)-1], err.Error())
	text[n] = 0
}

func unknown(handle C.uint64_t) error {
	return &kv.Error{Op: "call", Code: kv.Closed, Err: fmt.Errorf("there is no adapter %d", uint64(handle))}
}

// guarded turns a panic into an error: it must not end the host.
func guarded(out *C.sixcall_error, f func() error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			fail(out, &kv.Error{Op: "call", Code: kv.Internal, Err: fmt.Errorf("panic: %v", p)})
			ok = false
		}
	}()
	if err := f(); err != nil {
		fail(out, err)
		return false
	}
	return true
}

func packedOf(k *C.sixcall_keys) ([]packedKey, []byte) {
	keys := unsafe.Slice((*packedKey)(unsafe.Pointer(k.keys)), int(k.n))
	return keys, unsafe.Slice((*byte)(unsafe.Pointer(k.text)), int(k.text_len))
}

//export sixcallOpen
func sixcallOpen(text *C.char, n, l1, l1Len C.uint64_t, fds *C.int32_t, out *C.sixcall_error) C.uint64_t {
	var handle uint64
	ok := guarded(out, func() error {
		h, a, err := open(C.GoStringN(text, C.int(n)), hostMemory(uint64(l1), uint64(l1Len)))
		if err != nil {
			return err
		}
		handle = h
		to := unsafe.Slice(fds, 3)
		to[0], to[1], to[2] = C.int32_t(a.StoreEventFD()), C.int32_t(a.LookupAndLockEventFD()), C.int32_t(a.LoadEventFD())
		return nil
	})
	if !ok {
		return 0
	}
	return C.uint64_t(handle)
}

//export sixcallSubmit
func sixcallSubmit(handle C.uint64_t, kind C.int32_t, packed *C.sixcall_keys, out *C.sixcall_error) C.int64_t {
	task := kv.TaskID(-1)
	guarded(out, func() error {
		a := find(uint64(handle))
		if a == nil {
			return unknown(handle)
		}
		p, text := packedOf(packed)
		keys, err := unpackKeys(p, text)
		if err != nil {
			return err
		}
		switch kind {
		case C.SIXCALL_LOOKUP:
			task, err = a.SubmitLookupAndLockTask(keys, nil)
		case C.SIXCALL_LOAD:
			task, err = a.SubmitLoadTask(keys, buffersOf(p))
		default:
			task, err = a.SubmitStoreTask(keys, buffersOf(p))
		}
		if err != nil {
			task = -1
			return err
		}
		if a.looker != nil {
			a.looker.Look(kindOf(kind)) // the host is going to wait
		}
		return nil
	})
	return C.int64_t(task)
}

func kindOf(kind C.int32_t) bridge.Kind {
	switch kind {
	case C.SIXCALL_LOOKUP:
		return bridge.Lookup
	case C.SIXCALL_LOAD:
		return bridge.Load
	}
	return bridge.Store
}

//export sixcallUnlock
func sixcallUnlock(handle C.uint64_t, packed *C.sixcall_keys) {
	var ignored C.sixcall_error
	guarded(&ignored, func() error {
		if a := find(uint64(handle)); a != nil {
			keys, err := unpackKeys(packedOf(packed))
			if err != nil {
				return err
			}
			a.SubmitUnlock(keys)
		}
		return nil
	})
}

//export sixcallDelete
func sixcallDelete(handle C.uint64_t, packed *C.sixcall_keys, out *C.sixcall_error) C.int32_t {
	ok := guarded(out, func() error {
		a := find(uint64(handle))
		if a == nil {
			return unknown(handle)
		}
		keys, err := unpackKeys(packedOf(packed))
		if err != nil {
			return err
		}
		return a.delete(keys)
	})
	if !ok {
		return -1
	}
	return 0
}

//export sixcallQuery
func sixcallQuery(handle C.uint64_t, kind C.int32_t, task C.int64_t, bits *C.uint64_t, words C.int64_t) C.int64_t {
	a := find(uint64(handle))
	if a == nil {
		return -1
	}
	result, ok := a.query(kind == C.SIXCALL_LOAD, kv.TaskID(task), int(words)*64)
	if !ok {
		return -1
	}
	n := result.Len()
	if n > int(words)*64 {
		return C.int64_t(n)
	}
	to := unsafe.Slice((*uint64)(unsafe.Pointer(bits)), (n+63)/64)
	clear(to)
	for i := range n {
		if result.Test(i) {
			to[i/64] |= 1 << (i % 64)
		}
	}
	return C.int64_t(n)
}

//export sixcallPopStores
func sixcallPopStores(handle C.uint64_t, to *C.sixcall_store, n C.int64_t) C.int64_t {
	a := find(uint64(handle))
	if a == nil {
		return 0
	}
	done := a.popStores(int(n))
	for i, s := range done {
		at := &unsafe.Slice(to, int(n))[i]
		at.task, at.result = C.int64_t(s.task), C.int64_t(s.result)
	}
	return C.int64_t(len(done))
}

//export sixcallDescribe
func sixcallDescribe(handle C.uint64_t, what C.int32_t, arguments *C.char, n C.uint64_t, out *C.sixcall_error) *C.char {
	var text []byte
	ok := guarded(out, func() (err error) {
		a := find(uint64(handle))
		if a == nil {
			return unknown(handle)
		}
		text, err = a.describe(int(what), C.GoBytes(unsafe.Pointer(arguments), C.int(n)))
		return err
	})
	if !ok {
		return nil
	}
	return C.CString(string(text))
}

//export sixcallNextEvent
func sixcallNextEvent(handle C.uint64_t) *C.char {
	a := find(uint64(handle))
	if a == nil {
		return nil
	}
	text := a.events.next()
	if text == nil {
		return nil
	}
	return C.CString(string(text))
}

//export sixcallClose
func sixcallClose(handle C.uint64_t, out *C.sixcall_error) C.int32_t {
	ok := guarded(out, func() error {
		a := find(uint64(handle))
		if a == nil {
			return nil
		}
		return a.close()
	})
	if !ok {
		return -1
	}
	return 0
}

//export sixcallForget
func sixcallForget(handle C.uint64_t) {
	adapters.Lock()
	defer adapters.Unlock()
	delete(adapters.open, uint64(handle))
}
