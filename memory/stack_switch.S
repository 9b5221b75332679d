// SPDX-License-Identifier: Apache-2.0
//
// void vhsm_call_on_stack(void (*function)(void*), void* argument, void* stack_top)
//
// Calls function(argument) with the stack pointer at stack_top. An ordinary call: calls and returns
// stay balanced, so shadow stacks (CET) stay valid, and the unwind information leads back through
// rbp. On return the caller-saved general and SSE registers hold nothing of the callee's work.
// Source: System V AMD64 ABI, section 3.2.
        .text
        .globl  vhsm_call_on_stack
        .hidden vhsm_call_on_stack
        .type   vhsm_call_on_stack, @function
        .p2align 4
vhsm_call_on_stack:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rdi, %rax
        movq    %rsi, %rdi
// A debugger that meets a stack below the one that called takes it for damaged, unless the function
// between them has the name that split stacks use (gdb: get_prev_frame_always).
        .type   __morestack, @function
__morestack:
        movq    %rdx, %rsp
        call    *%rax
        movq    %rbp, %rsp
        xorl    %eax, %eax
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        xorl    %esi, %esi
        xorl    %edi, %edi
        xorl    %r8d, %r8d
        xorl    %r9d, %r9d
        xorl    %r10d, %r10d
        xorl    %r11d, %r11d
        pxor    %xmm0, %xmm0
        pxor    %xmm1, %xmm1
        pxor    %xmm2, %xmm2
        pxor    %xmm3, %xmm3
        pxor    %xmm4, %xmm4
        pxor    %xmm5, %xmm5
        pxor    %xmm6, %xmm6
        pxor    %xmm7, %xmm7
        pxor    %xmm8, %xmm8
        pxor    %xmm9, %xmm9
        pxor    %xmm10, %xmm10
        pxor    %xmm11, %xmm11
        pxor    %xmm12, %xmm12
        pxor    %xmm13, %xmm13
        pxor    %xmm14, %xmm14
        pxor    %xmm15, %xmm15
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
        .size   vhsm_call_on_stack, .-vhsm_call_on_stack
        .size   __morestack, .-__morestack

// void vhsm_clear_wide_registers(unsigned level): 1 = AVX, 2 = AVX-512. Call right after
// vhsm_call_on_stack on CPUs that have them: RSA and AES code leaves limbs and round keys there.
        .globl  vhsm_clear_wide_registers
        .hidden vhsm_clear_wide_registers
        .type   vhsm_clear_wide_registers, @function
        .p2align 4
vhsm_clear_wide_registers:
        .cfi_startproc
        endbr64
        testl   %edi, %edi
        jz      1f
        vzeroall
        cmpl    $2, %edi
        jb      1f
        vpxorq  %zmm16, %zmm16, %zmm16
        vpxorq  %zmm17, %zmm17, %zmm17
        vpxorq  %zmm18, %zmm18, %zmm18
        vpxorq  %zmm19, %zmm19, %zmm19
        vpxorq  %zmm20, %zmm20, %zmm20
        vpxorq  %zmm21, %zmm21, %zmm21
        vpxorq  %zmm22, %zmm22, %zmm22
        vpxorq  %zmm23, %zmm23, %zmm23
        vpxorq  %zmm24, %zmm24, %zmm24
        vpxorq  %zmm25, %zmm25, %zmm25
        vpxorq  %zmm26, %zmm26, %zmm26
        vpxorq  %zmm27, %zmm27, %zmm27
        vpxorq  %zmm28, %zmm28, %zmm28
        vpxorq  %zmm29, %zmm29, %zmm29
        vpxorq  %zmm30, %zmm30, %zmm30
        vpxorq  %zmm31, %zmm31, %zmm31
        kxorw   %k0, %k0, %k0
        kxorw   %k1, %k1, %k1
        kxorw   %k2, %k2, %k2
        kxorw   %k3, %k3, %k3
        kxorw   %k4, %k4, %k4
        kxorw   %k5, %k5, %k5
        kxorw   %k6, %k6, %k6
        kxorw   %k7, %k7, %k7
1:      ret
        .cfi_endproc
        .size   vhsm_clear_wide_registers, .-vhsm_clear_wide_registers

        .section .note.GNU-stack, "", @progbits
        .section .note.gnu.property, "a"
        .align 8
        .long 4, 16, 5
        .asciz "GNU"
        .long 0xc0000002, 4, 3, 0
