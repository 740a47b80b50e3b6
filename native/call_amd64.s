//go:build linux

#include "textflag.h"

// callFour is called on the system stack with the address of a frame, as C calls a
// function of one pointer. It calls frame.fn with frame.args and leaves the result in
// frame.args[0].
GLOBL ·callFourABI0(SB), NOPTR|RODATA, $8
DATA ·callFourABI0(SB)/8, $callFour(SB)
TEXT callFour(SB), NOSPLIT, $16
	MOVQ DI, 8(SP)
	MOVQ 0(DI), AX
	MOVQ 16(DI), SI
	MOVQ 24(DI), DX
	MOVQ 32(DI), CX
	MOVQ 8(DI), DI
	CALL AX
	MOVQ 8(SP), R11
	MOVQ AX, 8(R11)
	XORL AX, AX
	RET
