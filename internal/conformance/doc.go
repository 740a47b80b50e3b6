// Package conformance checks a connector library: does it keep the contract of the
// ABI, and what would a host suffer where it does not.
//
// [Run] carries out the checks of [Catalogue], each in a child process of its own:
// the program sixcall-probe, which loads the library and uses it as a host does, with
// limits, and killed and reaped when it takes too long. A few checks look at the file
// only and run none of its code.
//
// [Report] holds the verdicts; [Report.Attest] makes a statement of it that is bound
// to the content of the file, and [Verify] checks such a statement.
package conformance
