//! The script of a product.

use super::words;

words! {
    SCRIPT_NONE: "No script", "没有脚本";
    SCRIPT_NONE_TEXT:
        "Devices that speak bytes need one: it turns what they send into JSON, and commands into bytes.",
        "使用字节格式的设备需要脚本：将上报转换为 JSON，将命令转换为字节。";
    SCRIPT_NONE_STEP: "Write it below, try it, and publish it.", "在下方编写、试运行并发布。";
    SCRIPT_NONE_VIEWER: "Administrators write it.", "由管理员编写。";
    SCRIPT_JSON_PRODUCT:
        "Devices of this product speak JSON, and no script runs: choose bytes in the settings of the product \
        first.",
        "此产品的设备使用 JSON，脚本不会运行。在设置中改为字节格式后脚本才生效。";
    SCRIPT_RUNS: "Version {n} was published {time} by {who}.", "版本 {n} 由 {who} 于{time}发布。";
    SCRIPT_RUNS_NONE: "None is published: bytes of devices are refused.", "尚未发布脚本：设备上报的字节会被拒绝。";
    SCRIPT_DRAFT_SAVED: "The draft was saved {time}.", "草稿于{time}保存。";
    SCRIPT_EDITOR: "The script, JavaScript", "脚本（JavaScript）";
    SCRIPT_SOURCE: "The script that runs", "正在运行的脚本";
    SCRIPT_SAVE: "Save as the draft", "保存为草稿";
    SCRIPT_PUBLISH: "Publish", "发布";
    SCRIPT_PUBLISH_HINT:
        "What is published runs from the next message on. Versions before it are kept.",
        "发布后从下一条消息起生效，之前的版本会保留。";
    SCRIPT_TRY: "Try it", "试运行";
    SCRIPT_TRY_HINT:
        "A trial changes nothing, and takes the script as it stands in the editor.",
        "试运行不作任何更改，直接使用编辑器中的脚本。";
    SCRIPT_DIRECTION: "What is tried", "试运行内容";
    SCRIPT_FROM_HEX: "from a device: bytes, hexadecimal", "来自设备：十六进制字节";
    SCRIPT_FROM_TEXT: "from a device: text", "来自设备：文本";
    SCRIPT_TO_JSON: "to a device: a message, JSON", "发往设备：JSON 消息";
    SCRIPT_FROM_DEVICE: "what this device has sent of late", "该设备最近发送的内容";
    SCRIPT_PAYLOAD: "Payload, or the key of the device", "内容，或设备标识";
    SCRIPT_RESULT: "What came of it", "试运行结果";
    SCRIPT_GAVE_JSON: "The message", "消息";
    SCRIPT_GAVE_HEX: "The bytes to the device", "发往设备的字节";
    SCRIPT_FAILED: "The script failed", "脚本执行失败";
    SCRIPT_LINE: "Line {line}", "第 {line} 行";
    SCRIPT_NOT_JSON: "The payload is not JSON.", "内容不是 JSON。";
    SCRIPT_ARRIVED: "Arrived", "到达时间";
    SCRIPT_BYTES: "Bytes", "字节";
    SCRIPT_BY_DRAFT: "By this script", "此脚本的结果";
    SCRIPT_BY_PUBLISHED: "By what runs", "运行中脚本的结果";
    SCRIPT_CHANGED: "Compared", "对比";
    SCRIPT_DIFFERS: "differs", "不同";
    SCRIPT_SAME: "the same", "相同";
    SCRIPT_NOTHING_SENT: "Nothing is kept of what it has sent.", "没有保存该设备发送的内容。";
    SCRIPT_LEFT_OUT: "{n} older one was not tried.|{n} older ones were not tried.", "另有 {n} 条较早的内容未试运行。";
    SCRIPT_CHANGES: "What differs from the script that runs, from line {line} on", "与运行中脚本的差异，从第 {line} 行起";
    SCRIPT_MOVED:
        "Somebody else has saved a draft meanwhile. This is yours; saved again, it takes the place of that \
        one.",
        "其他人已保存草稿。这是您的内容，再次保存将替换对方的草稿。";
    SCRIPT_VERSIONS: "Versions", "版本";
    SCRIPT_VERSION: "Version", "版本";
    SCRIPT_WHEN: "Published", "发布时间";
    SCRIPT_WHO: "By", "发布者";
    SCRIPT_SIZE: "Size", "大小";
    SCRIPT_RESTORES: "brings back {n}", "恢复自 {n}";
    SCRIPT_AGAIN: "Publish again", "重新发布";
    SCRIPT_LOADED: "This is version {n}.", "这是版本 {n}。";
}
