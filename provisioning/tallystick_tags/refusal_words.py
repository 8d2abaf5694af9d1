"""Why a tag is not taken and what to do now, by code, in English and Chinese. One table; a test holds it complete.

A screen in English shows the outcome's own sentences, which name rows and tags; a table by reason, and every Chinese
screen, takes the words from here. The journal, `--json` and the job file keep the code and the English sentences.
"""

from tallystick_chips.tag_order import TagOutcome
from tallystick_provisioning.screen_words import Language

# language -> code -> reason, next action
_WORDS: dict[Language, dict[str, tuple[str, str]]] = {
    "en": {
        "no-tag": ("no tag on the reader", "put one down"),
        "two-tags": ("more than one tag on the reader", "leave one"),
        "wrong-chip": ("not the kind of tag that the job wants", "take the other kind"),
        "signature": ("no chip of its maker", "set it aside, ask where it was bought"),
        "duplicate": ("has its item already", "take another tag"),
        "foreign-keys": ("has keys of others", "set it aside"),
        "locked": ("locked for good", "take another tag"),
        "swapped": ("another tag was put in its place", "put the first one back"),
        "too-long": ("the link does not fit", "change the row, or take a larger tag"),
        "lost": ("moved away, or fell silent", "put the same tag down again"),
        "reader": ("the reader does not answer", "plug it in, put the same tag down"),
        "verify": ("does not read back as written", "run recover on it"),
        "journal": ("its journal cannot be used", "write no more tags before it is mended"),
        "answer": ("does not speak as such a chip does", "set it aside"),
        "container": ("its container (CC) is not the factory's", "take another tag"),
        "delay": ("takes no key for a while", "leave it on the reader"),
        "lrp": ("in LRP mode for good, we write AES", "take another tag"),
        "not-written": ("not written yet", "write it first"),
        "nothing-begun": ("nothing is unfinished", "take it away"),
        "order": ("the row cannot stand on a tag", "change the row"),
        "other-item": ("names another item", "find label and tag that belong together"),
        "other-keys": ("has this program's keys of another version", "give the keys of that job"),
        "random-uid": ("tells a random UID", "take a tag that tells its own"),
        "copy": ("blank, though its UID has an item: a copy", "set it aside"),
        "retired": ("was retired", "destroy it"),
        "seal": ("its seal loop is broken", "set it aside, run reset"),
        "unknown": ("no journal here knows it", "take it to where it was written"),
        "no-keys": ("not on the sealed job's list", "take a tag of the list"),
        "no-row": ("every row has its tag", "put down those that are unfinished"),
        "abandoned": ("was given up", "take another tag"),
    },
    "zh": {
        "no-tag": ("没有标签", "请放上标签"),
        "two-tags": ("读写器上有多枚标签", "只留一枚"),
        "wrong-chip": ("芯片型号不符", "换用本任务的型号"),
        "signature": ("原厂签名不符", "请另放，查进货来源"),
        "duplicate": ("该标签已写过", "换一枚标签"),
        "foreign-keys": ("标签带有他人的密钥或设置", "请另放"),
        "locked": ("标签已永久锁定", "换一枚标签"),
        "swapped": ("写入中途换了标签", "请把原标签放回"),
        "too-long": ("链接太长", "缩短域名或序列号，或换大容量标签"),
        "lost": ("标签移开了", "请把同一枚标签放回"),
        "reader": ("读写器无应答", "检查连接后放回同一枚标签"),
        "verify": ("回读校验不符", "对它运行 tag recover"),
        "journal": ("标签日志不可用", "修复前请勿再写标签"),
        "answer": ("标签应答异常", "请另放"),
        "container": ("标签的能力容器不是出厂状态", "换一枚标签"),
        "delay": ("标签因多次错误密钥而暂停应答", "留在读写器上等待"),
        "lrp": ("芯片处于 LRP 模式，无法写入", "换一枚标签"),
        "not-written": ("标签尚未写入", "先写入"),
        "nothing-begun": ("该标签没有未完成的操作", "请取走"),
        "order": ("该行数据无法写入标签", "修改该行"),
        "other-item": ("标签与商品不符", "找到该商品的标签"),
        "other-keys": ("标签使用另一版本的密钥", "使用该任务的密钥"),
        "random-uid": ("标签报告的是随机 UID", "换用固定 UID 的标签"),
        "copy": ("该编号已写过而此标签空白：可能是复制品", "请另放"),
        "retired": ("该标签已作废", "请销毁"),
        "seal": ("防拆封条已断开", "请另放，运行 tag reset"),
        "unknown": ("没有该标签的记录", "请在写入它的电脑上操作"),
        "no-keys": ("任务文件中没有该标签的密钥", "换用清单中的标签"),
        "no-row": ("没有等待的行", "请放上未写完的标签，或停止"),
        "abandoned": ("该标签已弃用", "换一枚标签"),
    },
}

# A half-written tag is not set aside and not replaced: these codes say themselves what becomes of it.
_HALF_WRITTEN_ZH = "请把同一枚标签放回，或运行 tag recover"
_OWN_ACTION = {"swapped", "two-tags", "reader", "seal", "other-keys", "journal", "lost"}
_HALF_WRITTEN_OWN_ZH = {"foreign-keys": "请另放，并用 tag job release 释放该行"}


def of_code(code: str, language: Language) -> tuple[str, str]:
    """Reason and next action of a code in a few words; the code itself where it is of another version of this."""
    return _WORDS[language].get(code, (code, ""))


def of_outcome(outcome: TagOutcome, language: Language) -> tuple[str, str]:
    """Reason and next action of this outcome."""
    if language == "en" or outcome.code not in _WORDS[language]:
        return outcome.reason, outcome.next_action
    reason, action = of_code(outcome.code, language)
    if outcome.state == "unfinished" and outcome.code not in _OWN_ACTION:
        action = _HALF_WRITTEN_OWN_ZH.get(outcome.code, _HALF_WRITTEN_ZH)
    return f"{reason}（{outcome.facts}）" if outcome.facts else reason, action
