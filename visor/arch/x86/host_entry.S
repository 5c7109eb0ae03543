/* The hypervisor's interrupt vectors: NMI (2) returns, #SX (30, an INIT that VM_CR turned into an exception) returns, others tell
 * host_exception. Interrupts never come: IF and GIF are clear. */
    .text
    .globl host_vectors
    .balign 16
host_vectors:
    .set v, 0
    .rept 32
    .balign 16
    .if v == 2
        iretq
    .elseif v == 30
        add $8, %rsp
        iretq
    .elseif v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29
        push $v
        jmp fault
    .else
        push $0
        push $v
        jmp fault
    .endif
    .set v, v + 1
    .endr
    .balign 16
fault:
    mov %rsp, %rcx
    and $-16, %rsp
    sub $32, %rsp
    call host_exception
1:  hlt
    jmp 1b

    .globl host_take_nmi
host_take_nmi:
    stgi
    nop
    clgi
    ret

    .globl host_call_on_stack
host_call_on_stack:
    mov %r8, %rsp
    and $-16, %rsp
    sub $32, %rsp
    mov %rcx, %rax
    mov %rdx, %rcx
    call *%rax
    ud2
