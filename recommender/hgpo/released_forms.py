"""Forms of LGHRec's released code that are switched to for comparison; each default is ours.

Released are, besides `pools=items`, `advantage=whitened` and bounds of 0.01 and 2 for τ (arXiv 2505.12396, by
reading its program):

    choice_head=slot          a logit belongs to a place in the pool, whose items change with every draw: the
                              state holds their mean only, so no item can be preferred
    choice_chance=summed      log π = Σ log softmax(l) of all that was drawn, which is no chance of a draw
                              without replacement
    temperature_form=clamped  x is cut at the bounds after its log-probability is taken
    state_of=layer_zero       policy and rewards see layer-0 embeddings, not the views that are contrasted
    loss_negatives=in_batch   chosen negatives never enter the loss: they are rewarded, and that is all

Its harmonisation is a function of stored rewards, without a gradient: ``harmony_weight=0`` learns the same.
Left out is what it does to items: their vectors are overwritten by every step.
"""

from typing import Literal

from pydantic import Field

from recommender.hgpo.contrast_views import ViewConfig


class ReleasedForms(ViewConfig):
    """Settings of these forms."""

    choice_head: Literal["candidate", "slot"] = Field(
        default="candidate", description="Logits of candidates, or (released) of places in the pool."
    )
    choice_chance: Literal["ordered", "summed"] = Field(
        default="ordered",
        description="log π of the ordered draw, or (released) the sum of log softmax of all that was drawn.",
    )
    temperature_form: Literal["squashed", "clamped"] = Field(
        default="squashed", description="How x becomes a τ within its bounds; clamped is the released form."
    )
    state_of: Literal["views", "layer_zero"] = Field(
        default="views", description="Vectors that policy and rewards see; layer_zero is the released form."
    )
    loss_negatives: Literal["chosen", "in_batch"] = Field(
        default="chosen",
        description="Negatives of the loss: those that hgpo chose, or (released) other nodes of the batch.",
    )
