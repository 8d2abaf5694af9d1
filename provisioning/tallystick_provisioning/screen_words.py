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
    "back": ("reader is back", "读写器已恢复"),
    "two": ("two tags: leave one", "有多枚标签：只留一枚"),
    "tap": ("tap its tag", "请轻触它的标签"),
    "no_label": ("no label of ours", "不是本系统的标签条码"),
    "no_item": ("no item of this job", "本任务没有此商品"),
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
    # the report
    "of_job": (
        "{chip} for {host}, keys {key_set} version {key_version}",
        "{chip}，域名 {host}，密钥 {key_set}，版本 {key_version}",
    ),
    "row_waiting": ("waiting", "未写"),
    "row_writing": ("writing", "未写完"),
    "row_written": ("written", "已写入"),
    "row_locked": ("locked", "已锁定"),
    "wait": ("{queued} statements wait for the ledger", "{queued} 条记录待上传"),
    "rejected": ("rejected", "不合格"),
    "name": ("name", "名称"),
    "state": ("state", "状态"),
    # what became of a tag
    "is_written": ("written", "已写入并校验"),
    "is_locked": ("locked", "已永久锁定并校验"),
    "is_factory": ("factory", "已恢复出厂状态"),
    "is_retired": ("retired", "已作废，请从商品上取下并销毁"),
    "is_planned": ("planned", "试运行，未改动"),
    "is_refused": ("refused", "拒绝"),
    "is_unfinished": ("unfinished", "未完成"),
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
