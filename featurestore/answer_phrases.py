# ruff: noqa: E501 - one phrase a line
"""Phrases by which an answer shows that it is none: a refusal, chat and advertising, thinking aloud."""

from typing import Final

from featurestore.phrases import any_of

REFUSAL: Final = any_of(
    r"""
    \bas an? (?:ai|artificial intelligence|(?:large )?language model|ai[- ]?(?:language )?model|assistant)\b
    \b(?:i am|i['\u2019]?m|we are|we['\u2019]?re) (?:so |very |really |truly )?sorry\b
    \bi (?:apologi[sz]e|must decline|have to decline|won['\u2019]?t be able to)\b
    \bi (?:can(?:not|['\u2019]?t| not)|am (?:unable|not able)(?: to)?) (?:provide|assist|help|answer|fulfil+|comply|generate|create|complete|write|describe|determine|give|continue|share|support|make|offer)\b
    \bi['\u2019]?m (?:unable|not able) to (?:provide|assist|help|answer|fulfil+|comply|generate|create|complete|write|describe|determine|give|continue|share|support|make|offer)\b
    \bes tut mir leid, (?:aber )?ich kann\b
    \blo siento, (?:pero )?no puedo\b
    \bje suis d\u00e9sol\u00e9e?,? (?:mais )?je ne\b
    \bmi dispiace, (?:ma )?non posso\b
    \bdesculpe, (?:mas )?n\u00e3o posso\b
    \u62b1\u6b49\uff0c\u6211
    \u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093
    """
)
"""The model declines, or speaks of itself."""

BOILERPLATE: Final = any_of(
    r"""
    \b(?:this|the) (?:item|product)(?: is|['\u2019]s) (?:just |truly |absolutely |simply )?(?:an? )?(?:perfect|great|ideal|suitable|must[- ]have|good) (?:choice |item |product |gift )?(?:for|to) (?:everyone|everybody|anyone|anybody|all (?:people|customers|users|ages))(?=[.,;:!?]|$)
    \b(?:buy|order|shop|get yours|purchase yours|order yours) (?:it )?(?:now|today)\b(?=[.!]|$)
    \badd (?:it |this )?to (?:your )?(?:cart|basket)\b
    \blook no further\b
    \bwhat are you waiting for\b
    \bdon['\u2019]?t miss (?:out|this)\b
    \bsatisfaction (?:is )?guaranteed\b
    \bmoney[- ]back guarantee\b
    ^(?:sure|certainly|of course|absolutely)[,!.:]? (?:here|i['\u2019]d|i can|let)
    \bhere(?: is|['\u2019]s| are) (?:the|my|your|an?) (?:\w+ )?(?:json|answer|response|summary|output|object)\b
    \b(?:in|as) (?:the )?(?:requested )?json (?:format|form|object)\b
    \bjson object\b
    \bi hope this helps\b
    \blet me know if\b
    \bfeel free to ask\b
    \btext, at most \d+ words?\b
    \blorem ipsum\b
    \[(?:insert|your|item|product|name)\b[^\]]{0,40}\]
    """
)
"""Advertising that fits anything, chat around an answer, the form in place of its content."""

PLACEHOLDER: Final = any_of(
    r"""
    [\W_]*(?:none|n/?a|unknown|null|nil|tbd|todo|text|string|value|example|placeholder)[\W_]*
    [\W_]*(?:answer|summary|summari[sz]ation|feature|reasoning|no data|no information)[\W_]*
    [\W_]*(?:not (?:available|applicable|specified|provided|known))[\W_]*
    """
)
"""Matches a whole text that stands for one."""

THOUGHT: Final = any_of(
    r"""
    ^\W{0,3}(?:(?:okay|ok|alright|all right|hmm+|well|wait|so|right)\b[,.! ]+){1,3}(?:so |now )?(?:i|i['\u2019]ll|let|we|the user|the question|first|this is|looking|what)\b
    ^\W{0,3}(?:hmm+|wait)\b[,.! ]
    \blet(?: me|['\u2019]?s| us) (?:think|see|start|begin|analy[sz]e|break|look at|re-?read|check|figure|consider|try|recall|summari[sz]e|draft|write)\b
    \bi (?:need|have|want|should|will|am going|am asked|was asked) to (?:figure|determine|analy[sz]e|answer|think|consider|describe|write|find|summari[sz]e|look at|output|produce|provide|identify|come up|make sure|follow)\b
    \bi(?: should|['\u2019]ll|['\u2019]d) (?:output|answer|respond|write|mention|describe|summari[sz]e|start)\b
    \bthe (?:user|prompt|question|instructions?|task|system)(?: prompt)? (?:wants|asks?|asked|is asking|said|says|tells?|told|requires?|needs) (?:me|us|for (?:a|an|the|one) (?:json|answer|summary|response|description))\b
    \bwe (?:need|have|are asked) to (?:output|answer|produce|write|provide|describe|respond)\b
    """
)
"""The model thinks aloud."""
