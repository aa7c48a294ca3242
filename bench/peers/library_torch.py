"""PyTorch on the CPU."""
import torch
import torch.nn.functional as functional


def version():
    return "PyTorch " + torch.__version__.split("+")[0]


def prepare(case, inputs, threads):
    torch.set_num_threads(threads)
    arrays = {name: torch.from_numpy(array) for name, array in inputs.items()}
    operation = case["operation"]
    if operation == "cross_entropy":
        return lambda: cross_entropy(**arrays)
    call = {"softmax": lambda: torch.softmax(arrays["x"], -1),
            "softmax_backward": lambda: torch._softmax_backward_data(arrays["dy"], arrays["y"], -1, torch.float32),
            "attention": lambda: functional.scaled_dot_product_attention(
                arrays["q"], arrays["k"], arrays["v"], is_causal=case["causal"],
                enable_gqa=case["heads"] != case["kv_heads"])}[operation]

    def without_gradients():
        with torch.inference_mode():
            return call()
    return without_gradients


def cross_entropy(logits, targets):
    logits = logits.detach().requires_grad_()
    functional.cross_entropy(logits, targets).backward()
    return logits.grad
