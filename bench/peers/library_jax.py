"""JAX on the CPU, compiled by XLA, which uses as many threads as it sees CPUs."""
import jax
import jax.numpy as jnp


def version():
    return "JAX " + jax.__version__


def mean_loss(logits, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1).mean()


def attention(case):
    """Its layout is [batch, seq, heads, dim]; turning the arrays into it and back is part of the compiled function."""
    turn = lambda array: array.swapaxes(1, 2)
    return lambda q, k, v: turn(jax.nn.dot_product_attention(turn(q), turn(k), turn(v), is_causal=case["causal"]))


def prepare(case, inputs, threads):
    jax.config.update("jax_platforms", "cpu")
    functions = {"softmax": lambda x: jax.nn.softmax(x),
                 "softmax_backward": lambda dy, y: y * (dy - (y * dy).sum(-1, keepdims=True)),
                 "cross_entropy": lambda logits, targets: jax.grad(mean_loss)(logits, targets)}
    function = attention(case) if case["operation"] == "attention" else functions[case["operation"]]
    arrays = {name: jnp.asarray(array) for name, array in inputs.items()}
    compiled = jax.jit(function)
    return lambda: compiled(**arrays).block_until_ready()
