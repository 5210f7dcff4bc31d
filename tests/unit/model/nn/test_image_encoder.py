"""Batch norm whose statistics are those of several processes, against torch's own over all rows."""

import copy

import torch
from torch import Tensor, nn

from model.nn.image_encoder import ImageProjection, JointBatchNorm


def pair_of_norms() -> tuple[JointBatchNorm, nn.BatchNorm1d]:
    torch.manual_seed(0)
    joint, plain = JointBatchNorm(5), nn.BatchNorm1d(5)
    nn.init.normal_(joint.weight)
    plain.load_state_dict(joint.state_dict())
    joint.joint_sum = lambda own: own  # all rows are here
    return joint, plain


def test_joint_statistics_and_gradients_are_those_of_batch_norm() -> None:
    joint, plain = pair_of_norms()
    rows = [torch.randn(12, 5, requires_grad=True) for _ in range(3)]
    copies = [values.detach().clone().requires_grad_() for values in rows]
    weight = torch.randn(12, 5)
    for own, other in zip(rows, copies, strict=True):
        (joint(own) * weight).sum().backward()
        (plain(other) * weight).sum().backward()
        torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-4)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(joint.state_dict()[name], tensor)
    torch.testing.assert_close(joint.weight.grad, plain.weight.grad)
    torch.testing.assert_close(joint.eval()(rows[0]), plain.eval()(rows[0]))


def test_rows_elsewhere_count_in_the_statistics() -> None:
    """The sums of the other process, worked out beforehand, are added as a collective would."""
    joint, plain = pair_of_norms()
    own, elsewhere = torch.randn(4, 5), torch.randn(9, 5) + 2
    together = plain(torch.cat([own, elsewhere]))
    mean = torch.cat([own, elsewhere]).mean(dim=0)
    sums = iter([torch.cat([elsewhere.sum(dim=0), torch.tensor([9.0])]), (elsewhere - mean).square().sum(dim=0)])

    def joint_sum(values: Tensor) -> Tensor:
        return values + next(sums)

    joint.joint_sum = joint_sum
    torch.testing.assert_close(joint(own), together[:4])
    torch.testing.assert_close(joint.running_var, plain.running_var)


def test_statistics_are_kept_in_fp32_where_products_are_bf16() -> None:
    torch.manual_seed(0)
    projection = ImageProjection(6, 8)
    reduced = copy.deepcopy(projection)
    cells, mask = torch.randn(3, 4, 6), torch.rand(3, 4) < 0.7
    with torch.autocast("cpu", torch.bfloat16):
        found = reduced(cells, mask)
    assert found.dtype == torch.bfloat16
    assert reduced.norm.running_mean is not None
    assert reduced.norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(found.float()[mask], projection(cells, mask)[mask], atol=0.05, rtol=0.05)
