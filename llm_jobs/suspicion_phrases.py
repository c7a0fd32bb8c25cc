# ruff: noqa: RUF001, E501 - words of other scripts; one phrase a line
"""Phrases by which a text speaks to a model instead of describing an item.

They are matched against folded text (see `llm_jobs.suspicion`): lower case, Latin letters without accents,
single spaces, no punctuation but sentence ends. Each asks for several words together, since product texts
hold any one of them: "ignore the noise", "rules of the game", "acts as a primer", "pretend play".
"""

import re
from dataclasses import dataclass
from typing import Final

from featurestore.phrases import any_of


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases of one rule.

    Attributes:
        rule: Its name.
        anchors: Each phrase holds at least one of these: a text without any is not searched further.
        pattern: Any of the phrases.
    """

    rule: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]

    def occur_in(self, folded_text: str) -> bool:
        """Whether folded text holds one of the phrases."""
        return any(anchor in folded_text for anchor in self.anchors) and bool(
            self.pattern.search(folded_text)
        )


def _phrases(rule: str, anchors: str, lines: str) -> Phrases:
    """Phrases from anchors parted by commas and one pattern a line."""
    return Phrases(rule, tuple(anchors.split(",")), any_of(lines, _PARTS))


_PARTS: Final = {
    "gap": r"(?:[^\s.!?]+ ){0,5}?",  # up to five words of one sentence
    "which": (
        r"(?:all|any|previous|previously|prior|above|earlier|preceding|foregoing|former|your|system|original|"
        r"initial|other|those|every|existing|current)"
    ),
    "order": r"(?:instructions?|rules?|guidelines?|prompts?|directions?|directives?|commands?|constraints?)",
    "before": (
        r"(?:above|before|previous|prior|preceding|said|written|(?:that )?came before|"
        r"(?:that )?you (?:were|have been|ve been) told|i (?:said|told))"
    ),
    "model": (
        r"(?:an? |the |any |every |all )?(?:helpful |large |friendly |evil |unrestricted |new )*"
        r"(?:ai|a i|llms?|language models?|assistants?|chat ?bots?|ai models?|chatgpt|gpt|dan|recommender systems?)\b"
    ),
    "answer": (
        r"(?:answers?|responses?|outputs?|reply|replies|summary|summaries|summarization|json|completion)"
    ),
    "key": (r"(?:feature|summarization|summary|reasoning|keywords?|cot|quote|characteristic|answer|output)"),
    "text": r"(?:word|words|phrase|string|text|sentence|token|code)",
    "everyone": r"(?:it|this|the (?:item|product)|everyone|everybody|all users|every user|no one|nobody)",
}

PHRASES: Final = (
    _phrases(
        "instruction_override",
        "ignor,disregard,forget,overr,bypass,neglect,not follow,dont follow,stop follow,pay no,set aside,void,cancel,"
        "obsolete,wrong,fake,no longer,supersed,replaced,system ,admin,developer ,root ,new instr,updated instr,"
        "revised instr,real instr,actual instr,true instr,your real,your true,your actual,your only,your new,"
        "instead of,and follow,and obey,and comply,and execute,and do ,not descr,not summar,not analy",
        r"""
        \b(?:ignore|ignoring|disregard|forget|override|overrule|bypass|neglect) {gap}{which} {gap}{order}\b
        \b(?:do not follow|dont follow|stop following|pay no attention to|set aside) {gap}{which} {gap}{order}\b
        \b(?:ignore|disregard|forget) (?:everything|anything|all|all of|what) (?:the )?{before}\b
        \b(?:ignore|disregard|forget) the (?:above|preceding|foregoing)\b
        \b{order} (?:above|before|so far|you were given) (?:are|were|is|have been) (?:void|cancel|obsolete|wrong|fake|no longer|superseded|replaced)
        \b(?:system|admin|administrator|developer|root) (?:override|prompt|instructions?|directives?)\b
        \b(?:new|updated|revised|real|actual|true) instructions? (?:follow|are|from|for you|begin|start)\b
        \byour (?:real|true|actual|only|new) (?:task|instructions?|objective|directive|mission) (?:is|are|now)\b
        \b(?:decode|decrypt|convert|translate|read) {gap}and (?:follow|obey|comply|execute|do what)\b
        \binstead of (?:describing|summari[sz]ing|answering|analy[sz]ing|following) (?:this|the|that|it|your|my)\b
        \bdo not (?:describe|summari[sz]e|analy[sz]e) (?:this|the) (?:item|product|data|text)\b
        """,
    ),
    _phrases(  # the same in other languages: Romance, Germanic, Slavic, Turkish, Indonesian, Vietnamese, ...
        "instruction_override",
        "ignor,olvid,omit,descart,desatiend,esque,desconsider,dimentic,trascur,oubli,sigas,siga ,seguire,suivez,suis,"
        "compte,abstraction,vergi,vergess,missacht,uberge,befolg,negeer,vergeet,glem,glom,zapom,pomin,talimat,kural,"
        "komut,yonerge,abaikan,lupakan,bo qua,phot lo,quen,игнор,ігнор,забудь,следуй,забрав,отмени,指示,命令,指令,规则,"
        "規則,提示,要求,内容,说明,說明,ルール,プロンプト,지시,명령,지침,규칙,프롬프트,تجاهل,انس,نادیده,התעלם,निर्देश,नियम,आदेश",
        r"""
        \b(?:ignor|olvid|omit|descart|desatiend|esque[cz]|desconsider|dimentic|trascur|oubli)\w* {gap}(?:instrucci?on(?:es)?|instrucoes|instrucao|istruzion[ei]|instructions?|consignes?|regles?|reglas?|regras?|regole)\b
        \b(?:ignor|olvid|omit|descart|desatiend|esque[cz]|desconsider|dimentic|trascur|oubli)\w* {gap}(?:indicacion(?:es)?|indicazioni|orientacoes|directives?|directivas?|ordenes|ordens|ordini|todo lo anterior|tudo acima|tout ce qui)\b
        \b(?:no sigas|nao siga|non seguire|ne suivez pas|ne suis pas|ne tene?z pas compte|fai(?:s|tes) abstraction) {gap}(?:instruc|istruz|consigne|regl|regr|regol|indica|direct)
        \b(?:ignoriere?n?|vergiss|vergesse?n?|missachte|uberge?he?n?|befolge|ignorer|ignorera|glem|glom) {gap}(?:anweisung|anleitung|instruktion|vorgabe|regeln?\b|befehl|instruks|regler|anvisning)
        \b(?:negeer|vergeet) {gap}(?:instructies?|regels|aanwijzingen|opdracht(?:en)?)\b
        \b(?:z?ignoruj\w*|zapomnij|pomin|zapomen\w*) {gap}(?:instrukc|polecen|zasad|wskazow|pokyn|prikaz)
        \b(?:talimat|kural|komut|yonerge)\w* {gap}(?:yok say|goz ardi et|unut|dikkate alma|gormezden gel)
        \b(?:abaikan|lupakan) {gap}(?:instruksi|perintah|aturan)\b
        \b(?:bo qua|phot lo|quen) {gap}(?:huong dan|chi dan|lenh|quy tac|chi thi)\b
        \b(?:про)?(?:игнорир|ігнору|забудь|не следуй|забрави|отмени)\w* {gap}(?:инструкц|указани|правил|команд|інструкц|вказівк)
        (?:忽略|忽视|忽視|无视|無視|忘记|忘記|不要理会|不要遵守|不用管)[^.!?。]{0,14}(?:指令|指示|说明|說明|规则|規則|提示|要求|内容|命令)
        (?:指示|命令|指令|ルール|プロンプト|規則)[^.!?。]{0,8}(?:無視|忘れ|従わな)
        (?:지시|명령|지침|규칙|프롬프트)[^.!?]{0,8}(?:무시|잊|따르지)
        (?:تجاهل|انس|نادیده بگیر)\w* {gap}(?:ال)?(?:تعليمات|اوامر|أوامر|قواعد|دستور)
        (?:התעלם|תתעלם) {gap}(?:ה)?(?:הוראות|הנחיות)
        (?:निर्देश|नियम|आदेश)[^.!?।]{0,30}(?:अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल|उपेक्षा)
        """,
    ),
    _phrases(
        "role_play",
        "you are now,you are no,you are act,you are real,pretend,imagine,from now on, mode,in character,jailbreak,"
        "do anything,seller,salesm,salesp,market,copywr,pirate,hacker,play a ,do a ,act as,act like,behave,respond,"
        "answer,reply,speak,a partir d,desde ahora,bist du,desormais,d ora in poi,теперь,этого момента,现在开始,"
        "現在から,これから,이제부터",
        r"""
        \byou are (?:now |no longer |actually |really )+(?:{model}|bound|restricted|limited|in [a-z]+ mode)
        \b(?:act|behave|respond|answer|reply|speak) (?:as|like) (?:if you (?:are|were) )?{model}
        \b(?:pretend|imagine)(?: that)? you (?:are|re|were) {model}
        \b(?:pretend|imagine)(?: that)? you (?:have|had) no (?:rules|restrictions|limits|instructions|filters?)\b
        \bfrom now on (?:you|your|act|answer|respond|reply|always|ignore|the (?:ai|assistant|model))\b
        \b(?:enter|enable|activate|switch to) (?:developer|dan|jailbreak|god|unrestricted) mode\b
        \bstay in character\b
        \bjailbreak prompt\b
        \bdo anything now\b
        \blets? (?:us )?(?:play|do) a (?:role ?play|game) (?:in which|where) you\b
        \byou are (?:now )?an? (?:\w+ )?(?:seller|salesman|salesperson|marketer|marketing|copywriter|pirate|hacker)\w* (?:who|that|bot|ai|and|for)\b
        \b(?:a partir de ahora|desde ahora) (?:eres|seras|debes|responde)
        \bab (?:jetzt|sofort) bist du\b
        \b(?:desormais|a partir de maintenant) (?:tu es|vous etes|tu dois)
        \bd ora in poi (?:sei|devi)\b
        \ba partir de agora (?:voce|tu|es)\b
        \bтеперь ты\b
        \bс этого момента ты\b
        从现在开始你
        現在から
        これからあなたは
        이제부터 너
        """,
    ),
    _phrases(
        "model_address",
        " ai, a i ,llm,language model,assistant,bot ,bots ,gpt, dan ,recommender sys,reading this",
        r"""
        \b(?:dear|attention|hey|note to|notice to|message to|message for|note for|memo to|instructions? (?:for|to)|important for|reminder for|hint for) {model}
        \b(?:if|when|since|because|as) you (?:are|re) (?:{model}|reading this as)
        {model} (?:that|who|which) (?:read|see|process)s?\b
        \bas an? (?:ai|large language|language) (?:assistant|model|language)\b
        \byou are (?:a |an |the )(?:helpful |large |friendly )*(?:ai|llm|language model|assistant|chat ?bot)\b
        \b(?:any|every|all|the) (?:ai|llm|language model)s? (?:that |who |which )?(?:reading|reads?|process|summari[sz]|describ|must|should|shall|has to|have to)
        """,
    ),
    _phrases(
        "forced_answer",
        "answer,respon, repl,exactly,nothing,only the,the exact,the secret,the magic,the following,output,summar,json,"
        "completion, set ,change, make , fill ,always ,must ,only ,this item,this product,the item,the product,user,"
        " that ,asked,contesta,escri, di ,escrev,schreib, sag,antwort,rispondi,scrivi,ответь,"
        "отвечай,пиши,回答,回复,回覆,输出,輸出,だけ,라고만",
        r"""
        \b(?:respond|reply|answer)(?: (?:only|exactly|just|always|simply))* with (?:the|exactly|only|just|a|nothing)\b
        \b(?:output|say|write|print|return|repeat|answer|respond|reply) (?:exactly|nothing but|nothing else)\b
        \b(?:output|say|write|print|return|repeat|answer|respond|reply) (?:only the|the (?:exact|secret|magic|following)) {text}\b
        \b(?:your|the|every|each) (?:final |entire |whole |next |first |last )?{answer} (?:must|should|shall|has to|have to|needs to) (?:be|only|say|contain|include|start|begin|end|mention|state|consist|read|always|praise|recommend)\b
        \b(?:include|insert|add|mention|put|write|append|say|place|embed|use) {gap}(?:in|into|to|at the (?:end|start|beginning) of) (?:your|every|each|all) (?:final )?{answer}\b
        \b(?:set|change|make|fill) (?:the )?(?:field |key |value of |json )*{key} (?:field |key |value )*(?:to|as|with|be)\b
        \b(?:always|must|only) (?:describe|recommend|rate|rank|score|praise|promote|endorse) (?:this|the|our|it)\b
        \b(?:rate|rank|score|recommend|describe|present|label|classify) (?:this|the) (?:item|product) {gap}(?:to (?:all|every) users?|(?:above|over|before) (?:all )?other)
        \b(?:rate|rank|score|recommend|describe|present|label|classify) (?:this|the) (?:item|product) {gap}as (?:the )?(?:number one|best (?:item|product)|perfect for every(?:one|body))\b
        \b(?:suggest|show|recommend) (?:this|it)(?: item| product)? to (?:every|all) users?\b
        \b(?:when|if) (?:you are )?asked (?:[^\s.!?]+ ){0,9}?(?:answer|say|reply|respond) (?!to|questions?)
        \b(?:tell|convince|assure|inform) (?:all|every|each) users? (?:that|to)\b
        \b(?:say|state|claim|write|report|answer|respond) that {everyone} (?:is|are|loves?|likes?|should|must|needs?|would|will|dislikes?|hates?)\b
        \b(?:responde|contesta|escribe|di) (?:solo|solamente|unicamente|siempre|exactamente)\b
        \brepond(?:s|ez)? (?:seulement|uniquement|toujours)\b
        \b(?:antworte|schreibe?|sage?) (?:nur|immer|ausschliesslich|genau|stattdessen)\b
        \b(?:rispondi|scrivi) (?:solo|sempre|soltanto)\b
        \b(?:responda|escreva) (?:apenas|somente|sempre)\b
        \b(?:ответь|отвечай|напиши|пиши)\w* (?:только|всегда)
        (?:只|仅|必须|請|请)(?:回答|回复|回覆|输出|輸出)
        だけ(?:答え|出力|返)
        라고만 (?:답|대답|말)
        """,
    ),
    _phrases(
        "prompt_leak",
        "prompt,your instruc,your rules,your guid,the system,the hidden,the secret,the init,the orig,the dev,the above,"
        "your sys,your init,your hid,your orig,the full,instruc,above,before this,so far,that came,you describe,"
        "with you are,words you are,you analy,anweis,istruz,"
        "提示,指令,промпт,инструк",
        r"""
        \b(?:reveal|show|print|repeat|output|display|disclose|leak|expose|share|recite|tell|write|copy|paste|state)(?: (?:me|us|out|down|back))* (?:all )?(?:your|the (?:system|hidden|secret|initial|original|developer|above|full)) (?:(?:system|hidden|secret|initial|original|internal|full|exact|developer) )*(?:prompts?|instructions?|rules|guidelines|system message)\b
        \bwhat (?:is|are|was|were) (?:your|the) (?:(?:system|hidden|secret|initial|original|internal|developer) )+(?:prompts?|instructions?|rules|guidelines)\b
        \b(?:repeat|print|output|copy|recite|translate|summari[sz]e) (?:the|all|all of the|every) (?:text|words?|messages?|content|conversation|lines?|rules|instructions) (?:above|before this|so far|that came before)\b
        \b(?:begin|start|beginning|starting) with (?:the words )?you (?:describe|are|analy[sz]e)\b
        \b(?:revela|muestra|mostra|montre|affiche|zeige?|rivela|mostre|revele)\w* {gap}(?:prompt|instrucciones|instructions|anweisungen|istruzioni|instrucoes)\b
        (?:显示|顯示|透露|输出|輸出|重复|重複)[^.!?。]{0,10}(?:系统提示|系統提示|提示词|提示詞|指令)
        (?:покажи|раскрой|выведи)\w* [^.!?]{0,20}(?:промпт|инструкц)
        """,
    ),
)
"""What each rule looks for; a rule may stand more than once."""

SQUEEZED: Final = re.compile(
    r"(?:ignore|disregard|forget)(?:all|any|the|your|of|these|those|my)*"
    r"(?:previous|prior|above|earlier|preceding|system)*(?:instructions?|rules?|prompts?|guidelines|directions)"
    r"|systemprompt|youarenowan?|revealyour(?:prompt|instructions|system)"
)
"""The best known phrases without any space, for text whose letters were set apart."""
