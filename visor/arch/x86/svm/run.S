/* svm_run(vcpu, vmcb_physical): Microsoft's convention. RAX and RSP of the guest are in the VMCB, the others are exchanged here. Vector
 * registers are the guest's throughout: nothing here is compiled to use them. */
    .text
    .globl svm_run
svm_run:
    push %rbx
    push %rbp
    push %rdi
    push %rsi
    push %r12
    push %r13
    push %r14
    push %r15
    push %rcx
    mov %rdx, %rax
    mov 16(%rcx), %rdx
    mov 24(%rcx), %rbx
    mov 40(%rcx), %rbp
    mov 48(%rcx), %rsi
    mov 56(%rcx), %rdi
    mov 64(%rcx), %r8
    mov 72(%rcx), %r9
    mov 80(%rcx), %r10
    mov 88(%rcx), %r11
    mov 96(%rcx), %r12
    mov 104(%rcx), %r13
    mov 112(%rcx), %r14
    mov 120(%rcx), %r15
    mov 8(%rcx), %rcx
    vmrun %rax
    push %rcx
    mov 8(%rsp), %rcx
    mov %rdx, 16(%rcx)
    mov %rbx, 24(%rcx)
    mov %rbp, 40(%rcx)
    mov %rsi, 48(%rcx)
    mov %rdi, 56(%rcx)
    mov %r8, 64(%rcx)
    mov %r9, 72(%rcx)
    mov %r10, 80(%rcx)
    mov %r11, 88(%rcx)
    mov %r12, 96(%rcx)
    mov %r13, 104(%rcx)
    mov %r14, 112(%rcx)
    mov %r15, 120(%rcx)
    pop %rax
    mov %rax, 8(%rcx)
    pop %rcx
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rsi
    pop %rdi
    pop %rbp
    pop %rbx
    ret
