"""What a closing sheet says, in English and Chinese. One table; a test holds both columns complete."""

from tallystick_provisioning.screen_words import Language

_TABLE: dict[str, tuple[str, str]] = {
    "title": ("Closing sheet", "收工单"),
    "page": ("page", "页"),
    "made": ("made (UTC)", "制作时间 (UTC)"),
    "ledger": ("ledger", "账本"),
    "signed_by": ("signed by the installer with the key", "安装员签名密钥"),
    "signed_how": ("signature over the SHA-256 of this file", "本文件 SHA-256 的签名"),
    "beside": ("in the file beside it", "见同名的旁附文件"),
    "totals": ("Totals", "汇总"),
    "job": ("job", "任务"),
    "rows": ("rows", "行数"),
    "waiting": ("waiting", "未写"),
    "writing": ("unfinished", "未写完"),
    "written": ("written", "已写入"),
    "locked": ("locked", "已锁定"),
    "refusals": ("refusals", "不合格"),
    "sent": ("statements sent", "已上传记录"),
    "queued": ("statements waiting", "待上传记录"),
    "nodes_work": ("nodes that work", "正常节点"),
    "nodes_failed": ("nodes that do not", "未完成节点"),
    "tags": ("Tags of", "标签："),
    "row": ("row", "行"),
    "item": ("GTIN, serial", "商品条码、序列号"),
    "name": ("name", "名称"),
    "chip": ("chip", "芯片"),
    "state": ("state", "状态"),
    "checked": ("label checked", "标签已核对"),
    "tag": ("tag", "标签编号"),
    "when": ("written (UTC)", "写入时间 (UTC)"),
    "statement": ("statement", "记录标识"),
    "rejects": ("Refused or unfinished taps of", "不合格或未写完："),
    "reason": ("reason", "原因"),
    "times": ("times", "次数"),
    "where": ("rows and tags", "行与标签"),
    "said": ("what was said first", "首次说明"),
    "none": ("none", "无"),
    "nodes": ("Nodes", "节点"),
    "serial": ("board", "电路板序列号"),
    "place": ("place", "位置"),
    "model": ("model", "型号"),
    "due": ("calibration due", "校准到期"),
    "works": ("works", "正常"),
    "stopped": ("stopped at", "停在"),
    "new": ("not begun", "未开始"),
    "identities": ("Keys, enrolments and calibration certificates", "密钥、登记与校准证书"),
    "key": ("key", "密钥"),
    "enrolment": ("enrolment", "登记标识"),
    "certificate": ("SHA-256 of the certificate", "校准证书 SHA-256"),
    "not_shown": (
        "This sheet is the installer's account. What proves a tag or a node is its statement in the ledger, by the "
        "identity given here. That a tag sits on the right box, and a node in its place, is the installer's word.",
        "本单是安装员的记录。标签与节点的证据是账本中的记录，以此处的标识查询；标签贴在哪个箱上、节点装在何处，以安装员的说明为准。",
    ),
}


class SheetWords:
    """The table in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __getitem__(self, name: str) -> str:
        return _TABLE[name][0 if self.language == "en" else 1]
