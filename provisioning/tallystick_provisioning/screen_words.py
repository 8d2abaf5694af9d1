"""What the tag loop says, in English and Chinese. One table; a test holds both columns complete."""

import os
from typing import Literal

Language = Literal["en", "zh"]

_TABLE: dict[str, tuple[str, str]] = {
    # the big word
    "waiting": ("PUT A TAG DOWN", "请放上标签"),
    "working": ("HOLD STILL", "请勿移动"),
    "planned": ("WOULD WRITE", "可以写入"),
    "done": ("DONE - TAKE IT AWAY", "完成，请取走"),
    "wrong": ("WRONG - TAKE IT AWAY", "有误，请取走"),
    "reader": ("READER IS GONE - PLUG IT IN", "读写器断开，请重新连接"),
    "finished": ("FINISHED", "结束"),
    # figures
    "next": ("next", "下一个"),
    "row": ("row", "行"),
    "serial": ("serial", "序列号"),
    "tag": ("tag", "标签"),
    "written": ("done", "已完成"),
    "left": ("left", "剩余"),
    "unfinished": ("unfinished", "未写完"),
    "rejects": ("rejects", "不合格"),
    "per_tag": ("s per tag", "秒/枚"),
    "time_left": ("time left", "剩余时间"),
    "statements": ("statements: {sent} sent, {queued} wait for the ledger", "记录：已上传 {sent}，待上传 {queued}"),
    "refused": (", {refused} REFUSED by it", "，账本拒收 {refused}"),
    "do": ("do", "处理"),
    "stop": ("Ctrl-C stops; nothing is lost", "Ctrl-C 停止，不会丢失数据"),
    # the steps of personalise
    "identify": ("identify", "识别"),
    "signature": ("signature", "验签"),
    "duplicate": ("duplicates", "查重"),
    "write": ("write", "写入"),
    "keys": ("keys", "换密钥"),
    "settings": ("settings", "设置"),
    "container": ("container", "容器"),
    "verify": ("verify", "校验"),
    "lock": ("lock", "锁定"),
}

# Reason and next action by code, for Chinese; the English of an outcome says more.
_CODES_ZH: dict[str, tuple[str, str]] = {
    "no-tag": ("没有标签", "请放上标签"),
    "two-tags": ("读写器上有多枚标签", "只留一枚"),
    "wrong-chip": ("芯片型号不符", "换用本任务的型号"),
    "signature": ("原厂签名不符", "换一枚，查进货来源"),
    "duplicate": ("该标签已写过", "换一枚标签"),
    "foreign-keys": ("标签带有他人的密钥", "换一枚标签"),
    "locked": ("标签已锁定", "换一枚标签"),
    "swapped": ("写入中途换了标签", "请把原标签放回"),
    "too-long": ("链接太长", "缩短域名或序列号，或换大容量标签"),
    "lost": ("标签移开了", "请把同一枚标签放回"),
    "reader": ("读写器无应答", "检查连接后放回同一枚标签"),
    "verify": ("回读校验不符", "放回同一枚标签重试"),
    "journal": ("标签日志记有未完成的操作", "放回同一枚标签，或运行 tag recover"),
    "answer": ("标签应答异常", "换一枚标签"),
    "container": ("标签的能力容器不是出厂状态", "换一枚标签"),
    "delay": ("标签因多次错误密钥而暂停应答", "稍后再试或换一枚"),
    "lrp": ("芯片处于 LRP 模式，本程序不支持写入", "换一枚标签"),
    "not-written": ("标签尚未写入", "先写入"),
    "nothing-begun": ("该标签没有未完成的操作", "请取走"),
    "order": ("该行数据无法写入标签", "修改该行"),
    "other-item": ("标签与商品不符", "找到该商品的标签"),
    "other-keys": ("标签使用另一版本的密钥", "使用该任务的密钥"),
    "random-uid": ("标签报告的是随机 UID", "换用固定 UID 的标签"),
    "copy": ("该编号的标签已写过，此标签却是空白：可能是复制品", "请另放"),
    "retired": ("该标签已作废", "请销毁"),
    "seal": ("防拆封条已断开", "标签已损坏，请另放"),
    "unknown": ("没有该标签的记录", "请在写入它的电脑上操作"),
    "no-keys": ("任务文件中没有该标签的密钥", "换用清单中的标签"),
    "no-row": ("没有等待的行", "请放上未写完的标签，或停止"),
    "abandoned": ("该标签已弃用", "换一枚标签"),
}


def choose(wanted: str | None) -> Language:
    """`--lang`, or what the environment says as gettext reads it."""
    found = wanted or next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "zh" if found.lower().startswith("zh") else "en"


class Words:
    """The table in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __getitem__(self, name: str) -> str:
        return _TABLE[name][0 if self.language == "en" else 1]

    def statements(self, sent: int, queued: int, refused: int) -> str:
        """How many statements the ledger has, how many wait, and how many of those it refused."""
        told = self["statements"].format(sent=sent, queued=max(0, queued - refused))
        return told + (self["refused"].format(refused=refused) if refused else "")

    def why(self, code: str, reason: str, next_action: str) -> tuple[str, str]:
        """Reason and next action of an outcome."""
        known = _CODES_ZH.get(code) if self.language == "zh" else None
        return known or (reason, next_action)
