//go:build linux

package conformance

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

func init() {
	commandRunners["R01"] = network(fault{text: "connections that are cut", rules: rules{cut: 40000}})
	commandRunners["R02"] = network(fault{text: "a network that swallows everything", rules: rules{blackhole: true}, once: true})
	commandRunners["R03"] = network(fault{text: "slow replies in small pieces", rules: rules{piece: 64, delay: time.Millisecond}, len: 300, whole: true})
	commandRunners["R04"] = network(fault{text: "damaged replies", len: 100, rules: rules{flip: 300}, wrongWarn: true})
	commandRunners["R05"] = checkRestart
	commandRunners["B13"] = checkExistsCheap
	commandRunners["B16"] = network(fault{text: "replies that end in the middle of a value", rules: rules{cut: 600000}, len: 300000})
	commandRunners["Z03"] = network(fault{text: "mutated replies", len: 100, rules: rules{flip: 40}, wrongWarn: true, long: true})
}

// fault is what a proxy does for a while.
type fault struct {
	text      string
	rules     rules
	len       int  // bytes of the values, 0 = default
	once      bool // all the time, instead of in turns with a healthy network
	wrongWarn bool // wrong bytes are a warning: nobody promised a checksum
	whole     bool // nothing is lost: no operation may fail
	long      bool
}

// network runs work through a proxy that breaks things, and looks whether all of it
// recovers.
func network(f fault) func(context.Context, *run, Check) Result {
	return func(ctx context.Context, r *run, _ Check) Result {
		if r.Endpoint == "" {
			return skip("needs --endpoint and --endpoint-param")
		}
		p, err := startProxy(r.Endpoint, r.Seed)
		if err != nil {
			return verdict(ToolError, "%v", err)
		}
		defer p.close()
		params, err := r.params.withEndpoint(r.EndpointParam, r.Endpoint, "127.0.0.1", p.port())
		if err != nil {
			return skip("%v", err)
		}
		span := r.Effort
		if f.long {
			span *= 6
		}
		set := map[string]string{"fault_ms": strconv.FormatInt(span.Milliseconds(), 10), "fault_text": f.text, "must_fail": "1"}
		if f.len > 0 {
			set["fault_len"] = strconv.Itoa(f.len)
		}
		if f.whole {
			set["nothing_lost"] = "1"
		}
		if f.wrongWarn {
			set["wrong_bytes_warn"] = "1"
		}
		during := func(ctx context.Context) {
			// The connection is made and proved on a healthy network.
			for p.accepted.Load() == 0 {
				if !pause(ctx, time.Millisecond) {
					return
				}
			}
			if !pause(ctx, span/10) {
				return
			}
			end := time.Now().Add(span * 8 / 10)
			for time.Now().Before(end) && ctx.Err() == nil {
				p.set(f.rules)
				if !pause(ctx, span/5) {
					break
				}
				if !f.once {
					p.set(rules{})
					_ = pause(ctx, span/20)
				}
			}
			p.set(rules{})
			if f.rules.flip > 0 {
				p.drop() // what was damaged in them is never made good
			}
		}
		result := r.probeCheck(ctx, "NETWORK", variant{params: params, set: set, during: during, limit: r.Limit + span*2})
		if result.Verdict == Pass && p.accepted.Load() == 0 {
			return verdict(ToolError, "no connection came through the proxy: does %v hold the endpoint?", r.EndpointParam)
		}
		return result
	}
}

// checkRestart is R05: with commands of the vendor, or by a proxy that refuses.
func checkRestart(ctx context.Context, r *run, _ Check) Result {
	span := 2 * r.Effort
	set := map[string]string{"fault_ms": strconv.FormatInt(span.Milliseconds(), 10), "fault_text": "restarts of the backend"}
	if r.Fixture.Start != "" && r.Fixture.Stop != "" {
		var failed error
		during := func(ctx context.Context) {
			for range 3 {
				if !pause(ctx, span/8) {
					break
				}
				if failed = shell(r.Fixture.Stop); failed != nil {
					break
				}
				_ = pause(ctx, span/10)
				if failed = shell(r.Fixture.Start); failed != nil {
					break
				}
			}
		}
		result := r.probeCheck(ctx, "NETWORK", variant{set: set, during: during, limit: r.Limit + span*2})
		if failed != nil {
			return verdict(ToolError, "%v", failed)
		}
		return result
	}
	if r.Endpoint == "" {
		return skip("needs --fixture-start and --fixture-stop, or --endpoint")
	}
	p, err := startProxy(r.Endpoint, r.Seed)
	if err != nil {
		return verdict(ToolError, "%v", err)
	}
	defer p.close()
	params, err := r.params.withEndpoint(r.EndpointParam, r.Endpoint, "127.0.0.1", p.port())
	if err != nil {
		return skip("%v", err)
	}
	during := func(ctx context.Context) {
		for p.accepted.Load() == 0 {
			if !pause(ctx, time.Millisecond) {
				return
			}
		}
		for range 3 {
			if !pause(ctx, span/8) {
				break
			}
			p.set(rules{refuse: true})
			p.drop()
			_ = pause(ctx, span/8)
			p.set(rules{})
		}
		p.set(rules{})
	}
	return r.probeCheck(ctx, "NETWORK", variant{params: params, set: set, during: during, limit: r.Limit + span*2})
}

func shell(command string) error {
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		return fmt.Errorf("the fixture command %q failed: %w: %s", command, err, out)
	}
	return nil
}

// checkExistsCheap is B13: one process stores, another one asks, and the proxy counts.
func checkExistsCheap(ctx context.Context, r *run, _ Check) Result {
	if r.Endpoint == "" {
		return skip("needs --endpoint and --endpoint-param")
	}
	p, err := startProxy(r.Endpoint, r.Seed)
	if err != nil {
		return verdict(ToolError, "%v", err)
	}
	defer p.close()
	params, err := r.params.withEndpoint(r.EndpointParam, r.Endpoint, "127.0.0.1", p.port())
	if err != nil {
		return skip("%v", err)
	}
	set := map[string]string{"nonce": fmt.Sprintf("cheap%d-%d", r.Seed, time.Now().UnixNano())}
	if stored := r.probeCheck(ctx, "STORE", variant{params: params, set: set}); stored.Verdict != Pass {
		return stored
	}
	before := p.toClient.Load() + p.toServer.Load()
	asked := r.probeCheck(ctx, "ASK", variant{params: params, set: set})
	if asked.Verdict != Pass {
		return asked
	}
	moved, size := float64(p.toClient.Load()+p.toServer.Load()-before), asked.Figures["value_bytes"]
	asked.Figures["moved_bytes"] = moved
	if moved > size/100 {
		asked.Verdict = Fail
		asked.Text = fmt.Sprintf("EXISTS of values of %.0f bytes together moved %.0f bytes, want less than 1 %%", size, moved)
	}
	return asked
}
