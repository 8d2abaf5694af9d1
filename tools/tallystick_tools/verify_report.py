"""The verdict as one HTML page in English and Chinese. It loads nothing: no script, font or picture."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

from tallystick_proof.evidence import VerifiedReading
from tallystick_proof.verdict import Verified
from tallystick_tools import verify_plot, verify_text
from tallystick_tools.outcome import Outcome
from tallystick_tools.verify_text import plain
from tallystick_wire.senml import Decimal

MAX_ROWS = 2_000  # of the table of readings; a browser is slow beyond, and the plot shows them all
CHANNEL = "t"  # what is plotted: the channel that loans are decided on

# One style sheet in the page; the policy forbids the page to load or run anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
h1 { border-left: .6rem solid; padding-left: .8rem; }
.ok { border-color: #1a7f37; } .bad { border-color: #c62828; } .unsure { border-color: #b26a00; }
code, td, li, h2 { overflow-wrap: anywhere; } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: .2rem .5rem; border-bottom: 1px solid #ddd; vertical-align: top; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } .grid { stroke: #ddd; }
.reading { fill: none; stroke: #0b57d0; stroke-width: 1.5; } circle.reading { fill: #0b57d0; }
.limit { fill: #c62828; opacity: .12; } .gap { fill: #777; opacity: .18; } .zh { color: #555; }
"""
_COLUMNS = ("node 节点", "seq 序号", "measured 测量值", "not before 不早于", "not after 不晚于", "gateway says 网关称")
_HEADLINES = {
    "verified": ("ok", "Verified", "已验证"),
    "verified with remarks": ("ok", "Verified, with remarks", "已验证，附说明"),
    "not verified": ("bad", "Not verified", "未通过验证"),
    "cannot tell": ("unsure", "Cannot tell", "无法判断"),
}
_NOT_PROVED_ZH = {
    "absence": "不证明没有其他内容：其他读数、密钥撤销或重复质押（仅凭运营方声明）",
    "place": "不证明传感器挂在货物所在之处，也不证明其测量准确",
    "goods": "不证明货物在场，也不证明货物与其名称相符",
    "thief": "不证明节点密钥未被盗用并由他人继续签名",
    "anchor-time": "不证明运营方出示的是锚点最早的见证签名；较晚的签名会使时间下限过晚",
    "law": "不证明质押、债权或买卖在法律上有效",
}
_REMARKS_ZH = {
    "unwitnessed": "没有见证方为账本担保",
    "revoked-later": "当时有效，后来撤销",
    "disputed": "有争议：密钥后来被声明泄露",
    "unclean-restart": "非正常重启，可能有未知读数",
    "given-up": "节点声明已放弃部分读数（存储已满）",
    "no-lower-bound": "没有时间下限",
    "time-contradicts": "时间自相矛盾",
    "calibration-overdue": "校准已过期",
    "old-head": "检查点较旧",
    "absence": "不存在性：仅凭运营方声明",
}


def page(outcome: Outcome) -> str:
    """The whole page."""
    mark, english, chinese = _HEADLINES[outcome.headline]
    body = [f'<h1 class="{mark}">{english} <span class="zh" lang="zh">{chinese}</span></h1>']
    if outcome.broken is not None:
        link, detail = outcome.broken
        body.append(_title("Broken link", "断开的环节"))
        body.append(f"<p><strong>{_text(link)}</strong>: {_text(detail)}</p>")
    if outcome.missing is not None:
        body.append(_title("Missing", "缺少"))
        body.append(f"<p>{_text(outcome.missing)}</p>")
    if outcome.verified is not None:
        body += _verified(outcome, outcome.verified)
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    title = f"<title>Tallystick: {english}</title><style>{_STYLE}</style>"
    content = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}{title}</head>\n<body>\n{content}\n</body></html>\n'


def _verified(outcome: Outcome, verified: Verified) -> Iterator[str]:
    yield f"<p><code>{_text(verify_text.subject(verified))}</code></p>"
    yield _title("What is proved", "已证明的内容")
    yield _list(verify_text.proved(outcome))
    yield from _plots(outcome, verified)
    yield _title("Remarks", "说明")
    yield _list(f"{remark.text} ({_REMARKS_ZH[remark.code]})" for remark in verified.remarks)
    yield _title("What is NOT proved", "未证明的内容")
    yield _list(
        f"{text} ({_NOT_PROVED_ZH[code]})"
        for code, text in zip(verified.not_proved, verify_text.not_proved(verified), strict=True)
    )
    yield _title("The chain, link by link", "逐环验证")
    yield _table(("link 环节", "holds 成立"), ((step.link, step.text) for step in verified.steps))
    yield _title("Readings", "读数")
    shown = verified.readings[:MAX_ROWS]
    yield f"<p>{len(shown)} of {len(verified.readings)} readings 条读数</p>"
    yield _table(_COLUMNS, map(_row, shown))


def _plots(outcome: Outcome, verified: Verified) -> Iterator[str]:
    limit = None if outcome.loan is None else verify_plot.as_float(Decimal(*outcome.loan.rules.warm_limit))
    ordered = sorted(verified.readings, key=lambda one: one.node.thumbprint)
    for _, group in groupby(ordered, key=lambda one: one.node.thumbprint):
        readings = list(group)
        if any(isinstance(one.reading.pack.get(CHANNEL), (Decimal, int)) for one in readings):
            name, unit = _channel(readings)
            title = f"{name} {unit} {verify_text.instrument(readings[0].node)}"
            yield _title(title, "温度曲线；红色为超限区，灰色为缺口")
            yield verify_plot.svg(verify_plot.points(readings, CHANNEL), limit, plain(title))


def _channel(readings: Sequence[VerifiedReading]) -> tuple[str, str]:
    instrument = readings[0].node.instrument
    channels = None if instrument is None else instrument.get("channels")
    meaning = None if channels is None else channels.get(CHANNEL)
    return (CHANNEL, "") if meaning is None else (meaning[0], verify_text.symbol(meaning[1] or ""))


def _row(one: VerifiedReading) -> tuple[str, ...]:
    bounds, missing = one.interval, one.missing
    before = f" (up to {missing.unknown} unknown before)" if missing.unknown else ""
    before += f" ({missing.given_up} given up before)" if missing.given_up else ""
    return (
        one.node.kid.hex(),
        f"{one.reading.chain.seq}{before}",
        ", ".join(verify_text.measured(one)),
        *(verify_text.when(time_ms) for time_ms in (bounds.earliest_ms, bounds.latest_ms, bounds.gateway_says_ms)),
    )


def _title(english: str, chinese: str) -> str:
    return f'<h2>{_text(english)} <span class="zh" lang="zh">{_text(chinese)}</span></h2>'


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _text(text: str) -> str:
    return escape(plain(text))
