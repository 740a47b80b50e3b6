// Package launcher runs plugin scripts beside the host: LMCache's plug-in
// framework. A script's name says on which processes it runs, its first line or
// its extension with which program.
//
// Each plugin has a process group of its own. [Launcher.Stop] terminates the
// group, waits, then kills it. When the host dies without a word, a small guard
// process does the same. A plugin that leaves its group (setsid) leaves this care
// as well.
package launcher
