/* What a start asks of KVM whatever the VM, done ahead of its turn; read by cffi and included by C. */

struct kvm_cpuid2;

/* What is ready: -1 or NULL where something was refused, and that place's own call will say what. */
struct kvm_early_setup {
    int kvm_fd;
    int vm_fd;
    struct kvm_cpuid2 *cpuid; /* KVM_GET_SUPPORTED_CPUID's, static */
};

/* Begins on a thread of its own, once. Nothing happens while 0, 1 or 2 is closed. */
void kvm_early_setup_begin(void);

/* Waits until the thread has ended and hands its results over, once. Nothing is ready if it hasn't begun. */
struct kvm_early_setup kvm_early_setup_take(void);
