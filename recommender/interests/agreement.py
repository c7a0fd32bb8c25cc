"""How group interests agree with what they are refined by: ISRF (arXiv 2603.13934), eq. 8 and 9.

Both equations have one form; t_u is what teaches, h_u a user's group interest, u' the batch's users:

    infonce_cos    mean of -log  exp(cos(t_u, h_u)/τ) / Σ_u' exp(cos(t_u, h_u')/τ)          the paper's text
    soft_dot       ½ [CE(P, X Yᵀ/τ) + CE(Pᵀ, Y Xᵀ/τ)],  P = softmax((X Xᵀ + Y Yᵀ)/2 · τ)    the authors' code

X holds the h_u and Y the t_u, rows of softmax sum to 1, and CE is the mean over rows. In eq. 8 t_u is e_u,
which gets no gradient: whoever calls detaches it; in eq. 9 it is z_u, the mean of the items' vectors.

Letters: m users, d embedding_dim, τ temperature.
"""

from typing import Literal, TypeAlias

import torch
from torch.nn.functional import log_softmax

from recommender.graph.node_contrast import contrast_in_batch

AlignForm: TypeAlias = Literal["infonce_cos", "soft_dot"]


def align(form: AlignForm, teachers: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """Eq. 8 or 9 for distinct users.

    Args:
        form: See the module's head.
        teachers: (m, d) t_u.
        groups: (m, d) h_u of the same users.
        temperature: τ > 0.

    Returns:
        A scalar. Gradients reach both, as far as they carry any.
    """
    if form == "infonce_cos":
        return contrast_in_batch([teachers], [groups], temperature)[0]
    logits = groups @ teachers.T / temperature  # (m, m)
    likeness = (groups @ groups.T + teachers @ teachers.T) / 2 * temperature
    targets = likeness.softmax(dim=1)
    rows = -(targets * log_softmax(logits, dim=1)).sum(dim=1)  # (m,)
    columns = -(targets.T * log_softmax(logits.T, dim=1)).sum(dim=1)
    return (rows.mean() + columns.mean()) / 2
