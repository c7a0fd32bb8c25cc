import torch

from recommender.training.stored_adam import StoredAdam


def test_steps_are_torchs():
    generator = torch.Generator().manual_seed(0)
    ours = [torch.randn(3, 2, generator=generator), torch.randn(4, generator=generator)]
    theirs = [torch.nn.Parameter(weight.clone()) for weight in ours]
    adam, expected = StoredAdam(ours, 0.03), torch.optim.Adam(theirs, lr=0.03)
    for _ in range(5):
        gradients = [torch.randn(weight.shape, generator=generator) for weight in ours]
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient.clone()
        expected.step()
        adam.step(ours, gradients)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other.detach())


def test_its_state_goes_on_from_its_parameters():
    weights = [torch.ones(3)]
    adam = StoredAdam(weights, 0.1)
    adam.step(weights, [torch.tensor([1.0, -2.0, 0.5])])
    other, copied = StoredAdam(weights, 0.1), [weights[0].clone()]
    for to, source in zip(other.parameters(), adam.parameters(), strict=True):
        assert not to.requires_grad
        to.copy_(source)
    for moved, optimizer in ((weights, adam), (copied, other)):
        optimizer.step(moved, [torch.tensor([0.3, 0.2, 0.1])])
    assert torch.equal(*weights, *copied)
