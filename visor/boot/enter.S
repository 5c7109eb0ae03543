/* visor_enter(launch): calls launch(resume_rip, resume_rsp). As a guest the processor goes on at `resume`, in the firmware's image and
 * on its stack; the registers that a callee must keep come from there. Microsoft's convention. */
    .text
    .globl visor_enter
visor_enter:
    push %rbx
    push %rbp
    push %rdi
    push %rsi
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rcx, %rax
    mov %rsp, %rdx
    lea resume(%rip), %rcx
    sub $40, %rsp /* the callee's 32 bytes, and alignment */
    call *%rax
    add $40, %rsp
resume:
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rsi
    pop %rdi
    pop %rbp
    pop %rbx
    ret
