"""What a person at the shelf reads, in English and Chinese: what to scan, what was done, and what is wrong."""

from tallystick_provisioning.screen_words import Language

WORDS = {
    "en": {"node": "SCAN THE NODE", "place": "SCAN THE PLACE OF {node}", "placed": "{node} hangs at {place}",
           "before": "before: {before}", "undone": "undone: {node} is back at {place}", "nowhere": "no place",
           "again": "{node}: once is enough", "wrong": "WRONG: {reason}", "also": "there too: {also}",
           "count": "{done} placed now | {left} of the list have no place", "dry": "DRY RUN: nothing is written",
           "keys": "undo + Enter takes the last one back; Ctrl-C ends"},
    "zh": {"node": "请扫描节点", "place": "请扫描 {node} 的位置", "placed": "{node} 已放置于 {place}",
           "before": "原位置:{before}", "undone": "已撤销:{node} 恢复为 {place}", "nowhere": "无位置",
           "again": "{node}:扫描一次即可", "wrong": "有误:{reason}", "also": "该位置还有:{also}",
           "count": "本次已放置 {done} | 清单中 {left} 个尚无位置", "dry": "试运行:不写入",
           "keys": "输入 撤销 回车可收回上一个;按 Ctrl-C 结束"},
}  # fmt: skip
# What is wrong, by its code: {0} is the mark or the node, {1} what stands against it.
REASONS = {
    "no-node": ("{0}: no node of the list is called so; scan the node first", "{0}:清单中没有该节点,请先扫描节点"),
    "many-nodes": ("{0}: {1} nodes are called so: scan its label", "{0}:有 {1} 个同名节点,请扫描其标签"),
    "not-a-place": ("{0} is a node: scan the place of {1} first, or undo", "{0} 是节点:请先扫描 {1} 的位置,或撤销"),
    "no-place": ("{0}: no place of the table of marks", "{0}:标记表中没有该位置"),
    "bare-tag": (
        "{0}: a tag without text; --marks FILE says which place it is",
        "{0}:标签上没有文字,须在 --marks 表中注明",
    ),
    "long-place": ("place: must be 1 to {0} printable characters", "位置须为 1 到 {0} 个可显示字符"),
    "nothing": ("nothing is left to undo", "没有可撤销的"),
    "changed": (
        "{0}: somebody changed its place meanwhile, to {1}: nothing is undone",
        "{0}:位置已被他人改为 {1},未撤销",
    ),
}


def reason(language: Language, code: str, *about: str) -> str:
    """The words for what is wrong."""
    return REASONS[code][0 if language == "en" else 1].format(*about)
