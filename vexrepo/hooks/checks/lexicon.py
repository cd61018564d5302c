"""The words of instructions aimed at an agent, in classes that mean the same in every language.

A word ending in ``*`` stands for all that begin so.  Words are written as ``folding.fold`` leaves them: lower case, no
accents.  Scripts without blanks (Chinese, Japanese) and with endings on nouns (Korean) are searched for the words
inside a run of letters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from vexrepo.hooks.folding import fold


class Class:
    """What a word may be in an instruction, as bits (plain ints: a flag's operators take fifty times as long)."""

    IGNORE = 1 << 0  # set aside
    EARLIER = 1 << 1  # previous, above
    ALL = 1 << 2
    ORDERS = 1 << 3  # instructions, rules
    YOURS = 1 << 4  # your, the system's
    TOLD = 1 << 5  # were told, received
    NOT = 1 << 6
    WITHOUT = 1 << 7
    OBEY = 1 << 8
    VOID = 1 << 9  # no longer in force
    NEW = 1 << 10
    YOU = 1 << 11
    NOW = 1 << 12
    ALWAYS = 1 << 13
    REMEMBER = 1 << 14
    PERSONA = 1 << 15  # AI, assistant, model
    LIMITS = 1 << 16
    UNBOUND = 1 << 17  # unrestricted, uncensored
    PRETEND = 1 << 18
    REVEAL = 1 << 19
    SYSTEM = 1 << 20
    PROMPT = 1 << 21
    HIDDEN = 1 << 22
    SEND = 1 << 23
    LOOT = 1 << 24  # passwords, conversation
    PLACE = 1 << 25  # url, webhook
    TELL = 1 << 26
    USER = 1 << 27
    ASK = 1 << 28
    ACT = 1 << 29  # run, pay, delete
    SILENT = 1 << 30
    PROMOTE = 1 << 31  # recommend, trust
    SOURCE = 1 << 32
    RIVALS = 1 << 33
    NOTICE = 1 << 34  # attention, note to
    MUST = 1 << 35
    READING = 1 << 36
    MODE = 1 << 37
    OFF = 1 << 38  # disabled, suspended
    SAFETY = 1 << 39
    BEFORE = 1 << 40
    ABOVE = 1 << 41
    BE = 1 << 42
    DISGUISED = 1 << 43  # leetspeak, swapped letters
    BACKWARDS = 1 << 44
    ROTATED = 1 << 45  # rot13
    LETTER = 1 << 46  # one letter alone
    PAIR = 1 << 47  # two hexadecimal digits
    LONG = 1 << 48  # perhaps an encoded text
    LEAD = 1 << 49  # begins a phrase that is looked for as a whole
    ONLY = 1 << 50
    MY = 1 << 51
    PRIORITY = 1 << 52  # takes precedence
    ALLOWED = 1 << 53  # authorised, approved
    DECODE = 1 << 54
    TOOL = 1 << 55
    BREAKS = 1 << 56  # drop, break, suspend
    NAME = 1 << 57
    WHATEVER = 1 << 58  # regardless


C = Class
NOTHING: Final = 0

_WORDS: dict[int, str] = {
    C.IGNORE: """
        ignore ignoring disregard disregarding forget forgetting discard override overrule bypass circumvent
        neglect dismiss skip unlearn nevermind erase ignoriere ignorieren ignoriert ignorier vergiss vergesst
        vergessen missachte missachten missachtet verwirf umgehe umgeh ubergehe ignorez ignorer ignora oublie
        oubliez oublier neglige negligez contourne ignorad ignorar olvida olvide olvidate olvidar descarta omite
        ignorate dimentica dimenticate dimenticare scordati trascura esqueca esquece esquecer desconsidere
        desconsidera negeer negeren vergeet zignoruj ignoruj zapomnij игнориру* проигнориру* забудь забудьте
        отбрось отбросьте пренебрег* обойди 忽略 忽视 忽視 無視 无视 忘记 忘記 忘掉 抛开 抛弃 跳过 忘れて 忘れろ
        破棄 무시 잊어 잊고""",
    C.EARLIER: """
        previous previously prior above earlier preceding before foregoing former original initial existing past
        vorherig* vorher bisherig* obig* fruhere* vorangegangen* zuvor ursprunglich* bisher obenstehend* oben
        vorige* precedent* anterieur* dessus avant anterior* previas previos previa previo arriba antes iniciales
        iniciais sopra prima acima eerdere vorige bovenstaande poprzedni* powyzsz* wczesniejsz* предыдущ* прежн*
        вышеуказан* выше ранее раньше предшеств* изначальн* прошл* 以上 之前 先前 以前 上述 前面 上面 此前 原先
        これまで 上記 今まで 従来 先ほど 이전 위의 앞의 지금까지""",
    C.ALL: """
        all any every everything anything whatever each alle alles allen aller allem jede* samtlich* tout toute
        toutes tous todo todos todas toda tutte tutti tutto tudo wszystkie wszystko все всё всех любые 所有 一切
        全部 すべて 全て 모두 모든""",
    C.ORDERS: """
        instruction instructions instructed directive directives guideline guidelines rule rules prompt prompts
        constraint constraints restriction restrictions guidance programming directions orders commands policies
        policy safeguards guardrails limitations training filters anweisung* vorgabe* regel regeln instruktion*
        richtlinie* befehl* einschrankung* weisung* systemprompt* consigne* directive* regle regles instruccion*
        regla reglas directriz directrices directivas indicaciones istruzion* regole direttive instruc* regras
        diretrizes instructie* regels instrukcj* polecen* zasad* инструкци* указани* правил* директив* предписани*
        ограничени* установк* промпт* 指令 指示 规则 規則 提示 命令 限制 ルール プロンプト 지시 명령 규칙 지침
        프롬프트""",
    C.YOURS: """
        your ur developer developers deine deinen deiner dein deinem ton ta tes votre vos tus tu sus suas seu seus
        tue tuo jouw je twoje твои свои ваши твой свой 你的 您的 あなたの 당신의""",
    C.TOLD: """
        told said given received learned gesagt bekommen erhalten recu recues recus dicho dijeron recibid* сказан*
        получен* ricevut* recebid* gegeven otrzyman* 告诉你 收到""",
    C.NOT: """
        not dont never no longer cease cannot mustnt shouldnt wont stop nicht nie niemals nichts kein keine keinen
        keiner mehr ne pas jamais plus nunca jamas non mai nao niet nooit nie не никогда ничего больше нельзя 不要
        别 別 不得 勿 不再 不必 无需 ないで ずに しない わない えない 않 마세요 말고""",
    C.WITHOUT: """
        without ohne sans sin senza sem zonder bez без 没有 沒有 不受 无任何 なし なく せずに 없이""",
    C.OBEY: """
        follow following follows obey obeying heed adhere comply complying apply applies attention listen bound
        valid beachte beachten beachtet befolge befolgen befolgst folge folgen halte gelten gultig compte suis
        suivez suivre respecte respectez obeis obeir caso sigas sigue seguir obedezcas obedecer seguire segui siga
        听 听从 聞き hore horen ecoute obeissez obedece obedeced слушайся внимани* следуй* следу* соблюдай*
        подчиня* слушай* выполняй* 遵守 遵循 理会 服从 従わ 従う 守ら 따르""",
    C.VOID: """
        void obsolete suspended revoked nullified superseded cancelled canceled invalid expired outdated
        irrelevant ungultig aufgehoben hinfallig annule* caduc* anulad* invalidas недействительн* отменен* 无效
        失效 作废 無効""",
    C.NEW: """
        new real true actual following neue neuen nouvelle* nueva* nuevo* новые новая 新的 新しい nuove novas""",
    C.YOU: """
        you youre youll du sie tu vous eres usted ты вы 你 您 あなた jij sei você voce 당신""",
    C.NOW: """
        now henceforth onwards onward jetzt sofort desormais maintenant dorenavant ahora adelante теперь отныне
        сейчас 现在 从现在 現在 今から 今後 これから adesso agora nu teraz 지금""",
    C.ALWAYS: """
        always forever permanently permanent whenever every future henceforth everytime constantly immer dauerhaft
        kunftig zukunft stets toujours desormais chaque siempre cada всегда навсегда отныне каждый 永远 永久 每次
        以后 今后 始终 一直 总是 今後 常に 毎回 いつも sempre altijd zawsze 항상""",
    C.REMEMBER: """
        remember store save memorise memorize memory memories merke merk merken speicher* speichere retiens
        memorise* recuerda guarda memoria memoire gedachtnis запомни* сохрани* памят* 记住 記住 记忆 記憶 覚えて
        保存 ricorda lembre onthoud zapamietaj 기억""",
    C.PERSONA: """
        ai llm llms assistant assistants agent agents chatbot chatbots bot bots gpt chatgpt claude gemini copilot
        model models dan ki assistent assistenz ia asistente assistente modele modelo ии ассистент* помощник*
        модел* бот 助手 人工智能 机器人 模型 アシスタント モデル エーアイ 어시스턴트 freegpt hacker jailbroken""",
    C.LIMITS: """
        rules limit limits limitation limitations restriction restrictions filter filters censorship constraint
        constraints boundaries ethic ethics ethical moral morals morality grenzen einschrankung* beschrankung*
        regeln filter limites limite regles restriccion* limitacion* restrizion* regole restric* ограничени*
        цензур* фильтр* правил* 限制 约束 約束 束缚 制限 ルール 제한""",
    C.UNBOUND: """
        unrestricted uncensored unfiltered limitless unlimited amoral jailbroken jailbreak unbound
        uneingeschrankt* unzensiert* illimite* ilimitad* неограниченн* 不受限制 无限制 無制限""",
    C.PRETEND: """
        pretend act acting roleplay imagine simulate impersonate behave become tu spiel spiele stell joue fais
        finge actua imagina притворись представь изобрази 扮演 假装 演じ ふり""",
    C.REVEAL: """
        reveal show print output repeat quote display disclose tell leak expose dump recite translate summarise
        summarize paraphrase list share give write zeige zeig gib ausgeben verrate nenne drucke wiederhole affiche
        affichez montre revele revelez donne repete muestra muestrame revela imprime repite dime покажи* выведи*
        раскрой* напечатай* повтори* 输出 輸出 显示 顯示 透露 打印 展示 告诉我 表示 見せ 教えて 出力 mostra rivela
        mostre revele toon pokaz* 출력 보여""",
    C.SYSTEM: """
        system* systeme sistema системн* 系统 系統 システム 시스템 internal initial base core original developer""",
    C.PROMPT: """
        prompt prompts instruction instructions message messages configuration rules guidelines systemprompt*
        anweisung* invite consignes instrucciones instruccion istruzioni промпт* инструкци* сообщени* 提示 提示词
        提示詞 指令 プロンプト 프롬프트 instructies instrukcje instrucoes""",
    C.HIDDEN: """
        hidden secret confidential internal versteckt* geheim* cache* ocult* secret* скрыт* секретн* 隐藏 隱藏
        秘密 隠れた""",
    C.SEND: """
        send sends forward forwards post posts upload uploads transmit exfiltrate email mail leak deliver submit
        append encode attach export copy paste include put insert append schicke schick sende senden leite
        ubermittle envoie envoyez transmets transfere poste envia envie enviar reenvia manda sube отправ* перешл*
        вышли* пошли* 发送 發送 发到 发给 上传 转发 傳送 送信 転送 送って 送れ アップロード invia inoltra envie
        stuur wyslij 보내""",
    C.LOOT: """
        password passwords passphrase credential credentials secrets secret apikey keys key tokens conversation
        conversations history chat chats memories transcript contacts env environment seed wallet inbox token data
        address passwort* kennwort* zugangsdaten gesprach* verlauf* kontakte geheimnisse passe conversation
        conversations identifiants historique contacts contrasena* clave claves conversacion* historial contactos
        парол* переписк* истори* разговор* контакт* данные ключ* 密码 密碼 对话 對話 聊天记录 密钥 记录 历史
        パスワード 会話 履歴 鍵 senhas credenziali conversazione wachtwoorden hasla 비밀번호 대화""",
    C.PLACE: """
        http https url urls webhook server attacker address pastebin subdomain endpoint link adresse direccion
        correo адрес* ссылк* 网址 地址 アドレス サイト""",
    C.TELL: """
        state claim report tell telling inform informing mention mentioning notify notifying alert alerting warn
        warning disclose reveal show let know say sage sag sagst sagen informiere informieren erwahne erwahnen
        verrate warne dis dites dire previens prevenir mentionne informe digas decir avises avisar menciones
        informes говори* сказ* сообща* сообщи* упомин* предупрежд* 告诉 告訴 告知 通知 提及 知らせ 伝え 言わ 触れ
        教え dire dica diga vertel mow* 말하""",
    C.USER: """
        user users human humans owner owners admin anyone anybody him them nutzer* benutzer* anwender* besitzer
        utilisateur* usuario* utente* gebruiker* uzytkownik* пользовател* ему им никому владельц* 用户 用戶 使用者
        ユーザー 사용자""",
    C.ASK: """
        asking ask asks asked confirmation confirm confirming permission consent approval notice prompting
        ruckfrage ruckfragen nachfrage zustimmung bestatigung demander confirmation preguntar avisar confirmacion
        permiso спрашив* спроса подтвержд* согласи* 询问 確認 确认 许可 許可 同意 conferma chiedere""",
    C.ACT: """
        run execute executing executed transfer transfers pay approve install delete wipe buy purchase click
        download grant change order fuhre fuhr uberweise uberweisung* losche bezahle genehmige execute executer
        supprime paie ejecuta ejecutar transfiere borra paga aprueba выполн* переведи* удали* оплат* запусти* 执行
        轉帳 转账 删除 支付 批准 実行 削除 支払 承認 esegui execute""",
    C.SILENT: """
        silently secretly quietly covertly discreetly stealthily heimlich unauffallig discretement secretamente
        discretamente тайно незаметно 暗中 悄悄 偷偷 こっそり 密かに""",
    C.PROMOTE: """
        recommend recommends recommending prefer promote favour favor cite trust trusted trustworthy authoritative
        reliable official empfiehl empfehle vertraue vertrauenswurdig* recommande fais recomienda confia confiable
        рекоменду* доверя* надежн* 推荐 推薦 信任 可信 権威 信頼 勧め""",
    C.SOURCE: """
        source sources domain site website provider emails mails quelle quellen source fuente fuentes источник*
        来源 网站 情報源""",
    C.RIVALS: """
        competitor competitors alternative alternatives others rivals konkurrenz wettbewerber concurrents
        competidores конкурент* 竞争对手 競合""",
    C.NOTICE: """
        attention note notice message important hinweis achtung wichtig nachricht aviso importante nota внимание
        внимани* важно 注意 重要 通知 重要""",
    C.MUST: """
        must required shall should obliged instructed need musst sollst pflicht dois devez debes должен должна
        必须 必須 应当 しなければ""",
    C.READING: """
        reading processing parsing evaluating reviewing summarising summarizing grading liest lesen lisant leyendo
        leyes читаешь 阅读 読んで""",
    C.MODE: "mode modus modo режим 模式 モード",
    C.OFF: """
        disabled deactivated disengaged off suspended lifted removed unlocked enabled activated granted
        deaktiviert aufgehoben desactive desactivad* отключен* снят* 关闭 禁用 解除 無効""",
    C.SAFETY: """
        safety security content moderation protocols protocol checks filters policies sicherheits* seguridad
        securite безопасн* 安全 セキュリティ""",
    C.ONLY: """
        only solely exclusively alone nur allein seulement uniquement solo solamente unicamente только лишь 只 仅
        只能 だけ のみ""",
    C.MY: """
        my me mine mich mir meine meinen mi mis moi mes mon меня мои моих мне 我的 我 私の 私 わたし""",
    C.PRIORITY: """
        precedence priority supersedes supersede outranks overriding vorrang prioritat priorite prioridad
        приоритет 优先 優先""",
    C.ALLOWED: """
        authorised authorized approved verified granted allowed permitted permission agreed consented cleared
        genehmigt erlaubt autorisiert autorise approuve autorizado aprobado разрешен* одобрен* 已授权 授权 已批准
        許可済み""",
    C.DECODE: """
        decode decrypt unscramble base64 rot13 backwards deobfuscate dekodiere entschlussle decode decodifica
        расшифру* 解码 復号""",
    C.TOOL: """
        tool tools function functions plugin command commands werkzeug outil herramienta инструмент* 工具 ツール""",
    C.BREAKS: """
        drop break abandon violate suspend breach brich verletze enfreins rompe viola нарушь 违反 違反 破れ""",
    C.NAME: "name named called identity persona",
    C.WHATEVER: """
        regardless whatever irrespective matter egal unabhangig quoi independientemente независимо 无论 不管
        関係なく""",
    C.LEAD: """
        human system assistant developer developers creator creators openai anthropic provider administrator
        administrators end stop anything dan starting override access mode must action delete erase remove word verbatim
        full between secret character owner master admin god""",
    C.BEFORE: "before prior bevor avant antes перед 之前 前に",
    C.ABOVE: """
        above preceding foregoing oben obig* dessus arriba sopra acima bovenstaande powyzsz* выше 以上 上面 上述
        前面 上記 위의""",
    C.BE: "are re ur bist sind es etes eres est estas 是 です be being",
}
# Words that are looked for in disguise as well: digits for letters, letters swapped, run together, backwards, rot13.
CORE = (
    *(
        "ignore",
        "disregard",
        "forget",
        "override",
        "bypass",
        "previous",
        "prior",
        "above",
        "instructions",
        "instruction",
    ),
    *(
        "guidelines",
        "restrictions",
        "system",
        "prompt",
        "reveal",
        "password",
        "passwords",
        "directives",
        "unrestricted",
    ),
)
_INNER_SCRIPTS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u1100-\u11ff\uac00-\ud7af\uf900-\ufaff"
HAS_INNER = re.compile(f"[{_INNER_SCRIPTS}]")


def _tables() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    exact: dict[str, int] = {}
    starts: dict[str, int] = {}
    inner: dict[str, int] = {}
    for kind, words in _WORDS.items():
        for word in fold(words).split():
            table = inner if HAS_INNER.search(word) else starts if word.endswith("*") else exact
            key = word.rstrip("*")
            table[key] = table.get(key, NOTHING) | kind
    return exact, starts, inner


_EXACT, _STARTS, INNER = _tables()
_LENGTHS = sorted({len(start) for start in _STARTS}, reverse=True)
INNER_WORD = re.compile("|".join(sorted(map(re.escape, INNER), key=len, reverse=True)))
_LEET = str.maketrans("0134578@$", "oleastbas")
_LEET_I = str.maketrans("0134578@$", "oieastbas")
_SWAPPED: dict[tuple[str, str, str], str] = {(word[0], "".join(sorted(word[1:-1])), word[-1]): word for word in CORE}
_SHORTENED = {
    word[:place] + word[place + 1 :]: word for word in CORE if len(word) >= 8 for place in range(1, len(word) - 1)
}
_RUN_TOGETHER = re.compile("|".join(sorted(CORE, key=len, reverse=True)))
_BACKWARDS = frozenset(word[::-1] for word in CORE if len(word) >= 6)
_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_ROTATED = frozenset(word.translate(_ROT13) for word in CORE if len(word) >= 6)
_LONGEST = 40
_CORE = frozenset(CORE)
_DISGUISED, _LETTER, _PAIR = C.DISGUISED, C.LETTER, C.PAIR
_HEX = frozenset("0123456789abcdef")
LEAST_ENCODED = 16  # characters of a word that may be encoded


@lru_cache(maxsize=1 << 16)
def class_of(word: str) -> int:
    """Return what a folded word may be in an instruction (bits of ``Class``), also where it is in disguise."""
    found = _EXACT.get(word, NOTHING)
    if len(word) <= 2:
        if len(word) == 1:
            return found | (_LETTER if word.isalnum() else NOTHING)
        return found | (_PAIR if word[0] in _HEX and word[1] in _HEX else NOTHING)
    for length in _LENGTHS:
        if length <= len(word):
            found |= _STARTS.get(word[:length], NOTHING)
    if found or len(word) < 4:
        return found
    if "@" in word[1:-1]:
        return C.PLACE
    if not word.isalpha() and len(word) <= _LONGEST and not word.isdigit():
        for table in (_LEET, _LEET_I):
            plain = word.translate(table)
            if plain in _CORE:
                return _EXACT.get(plain, NOTHING) | _DISGUISED
    if len(word) >= LEAST_ENCODED and word.isascii():
        found = C.LONG
    if len(word) > 9:
        together = [_EXACT.get(part, NOTHING) for part in _RUN_TOGETHER.findall(word[:200])]
        if len(together) >= 2:
            for each in together:
                found |= each
            return found | _DISGUISED
    if len(word) >= 6:
        if word in _BACKWARDS:
            return C.BACKWARDS
        if word in _ROTATED:
            return C.ROTATED
        meant = _SHORTENED.get(word)
        if meant is None and len(word) <= _LONGEST:
            meant = _SWAPPED.get((word[0], "".join(sorted(word[1:-1])), word[-1]))
        if meant:
            return _EXACT.get(meant, NOTHING) | _DISGUISED
    return found
