package launcher_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/launcher"
)

// Rows 96 to 98: the table of the contract, and names without a role.
func TestRow96RolesByFileName(t *testing.T) {
	const scheduler, w0, w1 = 1, 2, 4
	for name, want := range map[string]int{
		"scheduler_metrics.py": scheduler, "Scheduler_Metrics.py": scheduler,
		"worker_logcollector.py": w0 | w1,
		"worker_0_health.sh":     w0, "WORKER_0_Up.sh": w0, "Worker_00_x.sh": w0,
		"worker_1_2_x.py": w1,
		"worker_0.sh":     w0 | w1,
		"worker_-1_x.sh":  w0 | w1, "worker__x.sh": w0 | w1, "worker_x_0_y.py": w0 | w1,
		"all_monitor.sh": scheduler | w0 | w1,
		"all_1_x.sh":     w1,
		"monitor.py":     scheduler | w0 | w1, "worker.py": scheduler | w0 | w1, "scheduler.py": scheduler | w0 | w1,
		"worker-0-x.py": scheduler | w0 | w1,
		// Row 97: the documents say that these run everywhere.
		"my_tool.py": scheduler | w0 | w1, "workers_x.py": scheduler | w0 | w1, "_x.py": scheduler | w0 | w1,
		// Not a digit of ASCII: no id.
		"worker_²_x.py":                       w0 | w1,
		"worker_99999999999999999999999_x.py": 0,
	} {
		got := 0
		if launcher.RunsOn("/plugins/worker_1_dir/"+name, "scheduler", -1) {
			got |= scheduler
		}
		if launcher.RunsOn(name, "worker", 0) {
			got |= w0
		}
		if launcher.RunsOn(name, "WORKER", 1) {
			got |= w1
		}
		require.Equal(t, want, got, name)
		require.True(t, launcher.RunsOn(name, "", 0), "row 98: %s", name)
	}
}
