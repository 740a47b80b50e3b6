// Package plugintest tests adapters that others wrote. A plugin calls [Run] in a
// test of its own, best under the race detector:
//
//	func TestConformance(t *testing.T) {
//		plugintest.Run(t, func(t testing.TB) l2.Adapter {
//			a, err := New(Config{Dir: t.TempDir()})
//			require.NoError(t, err)
//			return a
//		})
//	}
//
// The tests drive an adapter as LMCache's controllers do, through its event fds.
// Their names carry the rows of the L2 adapter contract that they prove.
package plugintest
