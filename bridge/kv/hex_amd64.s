#include "textflag.h"

DATA nibble<>+0(SB)/8, $0x0F0F0F0F0F0F0F0F
DATA nibble<>+8(SB)/8, $0x0F0F0F0F0F0F0F0F
GLOBL nibble<>(SB), RODATA|NOPTR, $16

DATA nine<>+0(SB)/8, $0x0909090909090909
DATA nine<>+8(SB)/8, $0x0909090909090909
GLOBL nine<>(SB), RODATA|NOPTR, $16

DATA zero<>+0(SB)/8, $0x3030303030303030
DATA zero<>+8(SB)/8, $0x3030303030303030
GLOBL zero<>(SB), RODATA|NOPTR, $16

// From '9' + 1 to 'a'.
DATA letter<>+0(SB)/8, $0x2727272727272727
DATA letter<>+8(SB)/8, $0x2727272727272727
GLOBL letter<>(SB), RODATA|NOPTR, $16

// func hexBlocks(dst []byte, src string)
//
// Writes the digits of the whole blocks of 16 bytes of src. Instructions of SSE2,
// which every amd64 has.
TEXT ·hexBlocks(SB), NOSPLIT, $0-40
	MOVQ dst_base+0(FP), DI
	MOVQ src_base+24(FP), SI
	MOVQ src_len+32(FP), CX
	SHRQ $4, CX
	JZ   done
	MOVOU nibble<>(SB), X5
	MOVOU nine<>(SB), X6
	MOVOU zero<>(SB), X7
	MOVOU letter<>(SB), X8

block:
	MOVOU (SI), X0
	MOVO  X0, X1
	PSRLW $4, X1
	PAND  X5, X1       // the high nibbles
	PAND  X5, X0       // the low ones
	MOVO  X1, X2
	PUNPCKLBW X0, X1   // in order, of the first eight bytes
	PUNPCKHBW X0, X2   // and of the last
	MOVO  X1, X3
	MOVO  X2, X4
	PCMPGTB X6, X3
	PCMPGTB X6, X4
	PAND  X8, X3
	PAND  X8, X4
	PADDB X7, X1
	PADDB X7, X2
	PADDB X3, X1
	PADDB X4, X2
	MOVOU X1, (DI)
	MOVOU X2, 16(DI)
	ADDQ  $16, SI
	ADDQ  $32, DI
	DECQ  CX
	JNZ   block

done:
	RET
