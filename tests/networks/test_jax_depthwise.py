"""The depthwise convolution that JAX trains gives what Keras' own does, and its gradients."""

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is optional")


@pytest.mark.parametrize(("size", "side", "stride"), [(8, 3, 1), (8, 3, 2), (9, 5, 2), (5, 5, 1)])
def test_it_is_the_convolution_and_has_its_gradients(size, side, stride):
    from unet.networks.jax_depthwise import depthwise

    def own(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel[:, :, None, :], (stride, stride), "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1],
        )  # fmt: skip

    random = np.random.default_rng(0)
    x = random.normal(size=(2, size, size + 1, 3)).astype(np.float32)
    kernel = random.normal(size=(side, side, 3)).astype(np.float32)
    expected, own_gradients = jax.vjp(own, x, kernel)
    found, gradients = jax.vjp(lambda x, kernel: depthwise(x, kernel, stride), x, kernel)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    at = random.normal(size=expected.shape).astype(np.float32)
    for mine, theirs in zip(gradients(at), own_gradients(at), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
