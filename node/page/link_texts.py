"""Texts of the pages that say why an address of a label leads nowhere."""

from __future__ import annotations

TEXTS = {
    "en": {
        "link_title": "This code leads nowhere",
        "link_wrong": "This is not a GS1 Digital Link: its numbers are wrong or in the wrong order. "
        "Scan the code again.",
        "link_kind": "This code names a kind of product or a batch of it, not one item. "
        "The history belongs to single items: scan the code on the item itself.",
        "link_other": "No item here has this product number, batch and serial number together. "
        "If they stand so on the label, the goods are not what they say they are.",
        "link_type": "There is no link of the kind that was asked for.",
        "too_long_title": "No code",
        "too_long": "The address of this node is too long for a code.",
    },
    "zh": {
        "link_title": "此码无法打开",
        "link_wrong": "这不是有效的 GS1 数字链接：编号有误或顺序不对。请重新扫码。",
        "link_kind": "此码只标示一种产品或其中一个批次，而不是某一件货品。履历属于单件货品：请扫描货品自身上的码。",
        "link_other": "这里没有同时具有此商品编号、批次和序列号的货品。"
        "如果标签上确实如此，这件货品可能并非其所称的货品。",
        "link_type": "没有所要求类型的链接。",
        "too_long_title": "无法生成二维码",
        "too_long": "本节点的地址过长，无法放入二维码。",
    },
}
