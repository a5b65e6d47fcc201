//! The pages of a device.

use super::words;

words! {
    TABS: "What of the device", "设备页面";
    TAB_OVERVIEW: "Overview", "概览";
    TAB_COMMANDS: "Commands", "命令";
    TAB_LOG: "Log", "日志";
    TAB_SESSION: "Session", "会话";
    SINCE: "for {time}", "已 {time}";
    IDENTITY: "Identity", "身份信息";
    PRODUCT_KEY: "Product key", "产品标识";
    DEVICE_KEY: "Device key", "设备标识";
    REGISTERED_AT: "Registered", "注册时间";
    FIRST_LOGIN: "First login", "首次登录";
    LIFETIME: "Lifetime", "生命周期";
    LIFETIME_NONE: "not known before its first login", "首次登录后可知";
    FIRMWARE: "Firmware", "固件";
    FIRMWARE_NONE: "version not reported yet", "尚未上报版本";
    TAGS: "Tags", "标签";
    TAGS_NONE: "none", "无";
    ACTS: "Actions", "操作";
    RENAME: "Rename", "重命名";
    SWITCH_ON: "Switch on", "启用";
    SWITCH_OFF: "Switch off", "停用";
    DISCONNECT: "End its session", "断开会话";
    RESET: "Reset", "重置";
    DELETE: "Delete", "删除";
    DOES_SWITCH_OFF:
        "{device} will be switched off: its session ends, and it is refused until it is switched on.",
        "将停用 {device}：会话结束，启用前拒绝连接。";
    DOES_RESET:
        "{device} will be inactive again, with a new secret that is shown once: the one that it has \
        opens nothing any more.",
        "{device} 将恢复为未激活状态，并生成仅显示一次的新密钥；原有密钥立即失效。";
    DOES_DELETE_ONE:
        "{device} will be deleted, with its key; it cannot be brought back. What it has sent stays until \
        its time is over.",
        "将删除 {device} 及其密钥，无法恢复；已上报的数据按保留期限保存。";
    RESET_TITLE: "{device} was reset", "{device} 已重置";
    KEYS_TITLE: "Key and lines for clients", "密钥与客户端命令";
    KEYS_TEXT:
        "Shows the secret, the key of DTLS in hexadecimal digits, and whole commands to paste. It is \
        written into the audit log.",
        "显示密钥、十六进制 DTLS 密钥和可直接粘贴的完整命令；此操作会记入审计日志。";
    KEYS_SHOW: "Show key and lines", "显示密钥与命令";
    KEYS_IDENTITY: "DTLS identity", "DTLS 身份";
    KEYS_PSK: "DTLS key, hexadecimal", "DTLS 密钥（十六进制）";
    KEYS_LINES: "Lines to paste into a terminal", "可粘贴到终端的命令";
    VALUES: "Latest values", "最新数值";
    VALUES_NONE: "It has reported nothing yet.", "尚未上报任何数据。";
    POINT: "Point", "测点";
    VALUE: "Value", "数值";
    WHEN: "When", "时间";
    LOG_NEWEST: "What happened last", "最近发生的事件";
    LOG_ALL: "Show the whole log", "查看完整日志";
    WAITING: "Waiting for {device}", "正在等待 {device}";
    WAITING_TEXT:
        "It has never logged in. Start it, or paste one of its lines into a terminal: what arrives appears \
        here at once.",
        "设备从未登录。启动设备，或将命令粘贴到终端：收到的内容会立即显示在这里。";
    WAITING_REFUSED: "It came {time} and was refused: {reason}", "设备于{time}尝试连接，被拒绝：{reason}";
    WAITING_IN: "It has logged in, {time}.", "设备已登录（{time}）。";
    WAITING_NO_VALUE: "Its first value will stand here.", "首个数值会显示在这里。";
    WAITING_STRANGERS:
        "Nothing here, though it sends? It may use another key: look at the refusals.",
        "设备在发送但这里没有内容？可能使用了其他标识，请查看拒绝记录。";
    LOG_NONE: "Nothing of this kind", "没有此类记录";
    LOG_NONE_TEXT:
        "Logins, silence, refusals and what operators do stand here as they happen.",
        "登录、离线、拒绝以及操作员的操作会记录在这里。";
    KIND_ALL: "All", "全部";
    KIND_PRESENCE: "Presence", "上下线";
    KIND_REFUSED: "Refusals and warnings", "拒绝与警告";
    KIND_COMMANDS: "Commands", "命令";
    KIND_OPERATORS: "Operators", "操作员";
    FROM_PEER: "from {peer}", "来自 {peer}";
    EVENT_ACTIVATED: "logged in for the first time", "首次登录";
    EVENT_LOGIN: "logged in", "登录";
    EVENT_ONLINE: "online again", "恢复在线";
    EVENT_OFFLINE: "offline: silent, or logged out", "离线：沉默或已退出";
    EVENT_REFUSED: "refused", "被拒绝";
    EVENT_WARNING: "warning", "警告";
    EVENT_SECRET_ISSUED: "was given its secret", "已下发密钥";
    EVENT_SECRET_SHOWN: "its secret was shown", "密钥被查看";
    EVENT_CREATED: "registered", "已注册";
    EVENT_DISABLED: "switched off", "已停用";
    EVENT_ENABLED: "switched on", "已启用";
    EVENT_RENAMED: "renamed", "已重命名";
    EVENT_RESET: "reset", "已重置";
    EVENT_SECRET_ROTATED: "secret replaced", "密钥已更换";
    EVENT_DELETED: "deleted", "已删除";
    EVENT_ATTRIBUTES: "attributes changed", "属性已更改";
    EVENT_TAGS: "tags changed", "标签已更改";
    EVENT_COMMAND: "a command was sent", "已发送命令";
    EVENT_COMMANDS_CANCELLED: "commands were taken back", "命令已取消";
    SESSION_NONE: "No session", "没有会话";
    SESSION_NONE_TEXT:
        "When the device logs in, its address, cipher suite and Connection ID stand here.",
        "设备登录后，这里会显示其地址、密码套件和连接标识。";
    SESSION_NONE_STEP: "See in the log when it was there last", "在日志中查看上次在线时间";
    SESSION_PEER: "Address", "地址";
    SESSION_SUITE: "Cipher suite", "密码套件";
    SESSION_PLAIN: "plain CoAP, without encryption", "明文 CoAP，未加密";
    SESSION_CID: "Connection ID", "连接标识";
    SESSION_NO_CID: "none: it is known by its address", "无：按地址识别";
    SESSION_SINCE: "Since", "开始时间";
    COMMANDS_NONE: "No command yet", "还没有命令";
    COMMANDS_NONE_TEXT:
        "Commands stand here with each step: sent, fetched, answered.",
        "命令及其每个步骤会显示在这里：发送、取走、应答。";
    COMMANDS_NONE_STEP: "Send the first one with a form above.", "使用上方表单发送第一条命令。";
    COMMANDS_NONE_VIEWER: "Operators send them.", "由操作员发送。";
    COMMAND_ASKS: "Asks for", "内容";
    COMMAND_WHOLE: "All of it, as JSON", "完整内容（JSON）";
    COMMAND_ANSWER: "Answer", "应答";
    COMMAND_SENT_AT: "Sent", "发送时间";
    COMMAND_STEPS: "Steps", "步骤";
    STEP_FETCHED: "fetched {time}", "{time}取走";
    STEP_ENDED: "ended {time}", "{time}结束";
    STEP_EXPECTED: "expected {time}, give or take {spread}", "预计{time}取走，误差 {spread}";
    STEP_OVERDUE: "was expected {time}", "原预计{time}取走";
    KIND_SET: "Set a point", "设置测点";
    KIND_GET: "Ask for points", "查询测点";
    KIND_SERVICE: "Run a service", "调用服务";
    KIND_RAW: "Send bytes", "发送字节";
    KIND_UPGRADE: "Upgrade", "固件升级";
    FIELD_POINT: "Point", "测点";
    FIELD_VALUE: "Value, as JSON or text", "数值（JSON 或文本）";
    FIELD_POINTS: "Points, separated by commas", "测点（以逗号分隔）";
    FIELD_SERVICE: "Service", "服务";
    FIELD_INPUT: "Input, a JSON object", "输入（JSON 对象）";
    FIELD_HEX: "Bytes, in hexadecimal digits", "字节（十六进制）";
    FIELD_TTL: "If it is not online", "若设备不在线";
    TTL_NOW: "do not send", "不发送";
    TTL_WAIT: "wait for {time}", "等待 {time}";
    SEND: "Send", "发送";
    COMMAND_CANCEL: "Take back", "取消";
    CANCEL_ALL: "Take all back that wait", "取消所有等待中的命令";
    COMMAND_CREATED: "waits for the device", "等待设备";
    COMMAND_CANCELLED: "taken back", "已取消";
    COMMAND_EXPIRED: "not fetched in time", "超时未取走";
    COMMAND_SENT: "fetched, no answer yet", "已取走，未应答";
    COMMAND_SUCCEEDED: "done", "成功";
    COMMAND_FAILED: "the device could not", "设备执行失败";
    COMMAND_TIMED_OUT: "no answer in time", "超时未应答";
    NOT_JSON: "The input is not a JSON object.", "输入不是 JSON 对象。";
}
