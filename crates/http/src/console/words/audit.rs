//! The audit log.

use super::{Word, words};

words! {
    AUDIT: "Audit log", "审计日志";
    AUDIT_LEAD: "Who changed something, saw a secret, took an export or logged in, and what was refused. \
         Newest first; open a row for all that is known of it.",
        "谁修改了内容、查看了密钥、导出了数据或登录过，以及哪些操作被拒绝。最新在前，展开一行可查看全部信息。";
    AUDIT_ACTOR: "User or token", "用户或令牌";
    AUDIT_ANY: "everything", "全部";
    AUDIT_TARGET_BEGINS: "Target begins with", "对象以此开头";
    AUDIT_FROM: "From", "起始";
    AUDIT_TO: "To", "结束";
    AUDIT_SHOW: "Show", "显示";
    AUDIT_ALL: "Show all entries", "显示全部记录";
    AUDIT_NONE: "No entry matches", "没有符合条件的记录";
    AUDIT_NONE_TEXT: "The name of a user or token must be whole; a target is a path, such as \
         /products/KEY/devices/KEY.",
        "用户或令牌名称必须完整；对象是路径，例如 /products/KEY/devices/KEY。";
    AUDIT_GOES_ON: "None so far: the search goes on with the next page.", "目前没有：请转到下一页继续查找。";
    AUDIT_EMPTY: "Nothing was done yet", "还没有任何操作";
    AUDIT_EMPTY_TEXT: "Every change stands here as soon as it is made, with who made it.",
        "任何修改完成后都会立即出现在这里，并注明操作者。";
    AUDIT_WHO: "Who", "操作者";
    AUDIT_WHAT: "What was done", "操作";
    AUDIT_TARGET: "To what", "对象";
    AUDIT_OUTCOME: "Outcome", "结果";
    AUDIT_TOKEN: "(token)", "（令牌）";
    AUDIT_NOBODY: "nobody who is known", "未知身份";
    AUDIT_ADDRESS: "From address", "来源地址";
    AUDIT_NO_ADDRESS: "none: on the server itself, or not shown to you", "无：在服务器本机操作，或对您不可见";
    AUDIT_DETAIL: "What was changed", "变更内容";
    AUDIT_LEFT_OUT: "Left out", "省略";
    AUDIT_LEFT_OUT_SAID: "{n} like it before this one has no entry of its own.|{n} like it before this one \
         have no entry of their own.",
        "此前有 {n} 次同类操作没有单独记录。";
    AUDIT_REQUEST: "Request", "请求编号";
    AUDIT_ENTRY: "Entry", "序号";
    AUDIT_HASH: "Hash", "哈希值";
    AUDIT_OF_TARGET: "All that was done to it", "查看对该对象的全部操作";
    AUDIT_OF_ACTOR: "All that this one did", "查看该操作者的全部操作";
    AUDIT_STATUS: "HTTP status {status}", "HTTP 状态码 {status}";
    AUDIT_VERIFY: "narrowgate audit verify --count {count} --head {head}",
        "narrowgate audit verify --count {count} --head {head}";
    AUDIT_DONE: "done", "完成";
    AUDIT_PARTLY: "done in part", "部分完成";
    AUDIT_FAILED: "not done", "未执行";
    AUDIT_REFUSED: "refused", "被拒绝";
    AUDIT_UNKNOWN: "not known", "未知";
    AUDIT_DONE_MEANS: "It was carried out.", "操作已执行。";
    AUDIT_PARTLY_MEANS: "A part of it was carried out, and the rest was not: what was changed says how much.",
        "只执行了一部分，其余未执行；变更内容中有数量。";
    AUDIT_FAILED_MEANS: "Nothing was changed: the request was wrong, or what it names was not like that.",
        "没有任何变更：请求有误，或对象的状态不符。";
    AUDIT_REFUSED_MEANS: "Nothing was changed: the role does not permit it.", "没有任何变更：该角色无此权限。";
    AUDIT_UNKNOWN_MEANS: "The server ended, or failed, before the answer: look whether it happened.",
        "服务器在应答前停止或出错：请检查操作是否已生效。";
    AUDIT_CHAIN: "Keep the end of the log", "保存日志的末端";
    AUDIT_CHAIN_TEXT: "Each entry holds the hash of the one before. Keep this line where nobody of this \
         server can change it: run on the server later, it tells whether the log was changed since.",
        "每条记录都包含前一条的哈希值。请把此命令保存在本服务器人员无法修改的地方，以后在服务器上运行，即可判断日志是否被改动。";
    ACTION_DEVICES: "device", "设备";
    ACTION_PRODUCTS: "product", "产品";
    ACTION_USERS: "user", "用户";
    ACTION_TOKENS: "token", "令牌";
    ACTION_OUS: "organisation unit", "组织单元";
    ACTION_FIRMWARE: "firmware", "固件";
    ACTION_ROLLOUTS: "rollout", "固件发布";
    ACTION_JOBS: "job over many", "批量任务";
    ACTION_BACKUP: "backup", "备份";
    ACTION_STORE: "store", "存储";
    ACTION_AUDIT: "audit log", "审计日志";
    ACTION_ME: "own account", "本人账户";
    ACTION_SESSIONS: "session", "会话";
    ACTION_SECRET: "secret", "密钥";
    ACTION_SECRETS: "secrets", "密钥文件";
    ACTION_PASSWORD: "password", "密码";
    ACTION_MODEL: "thing model", "物模型";
    ACTION_SCRIPT: "script", "脚本";
    ACTION_TAGS: "tags", "标签";
    ACTION_ATTRIBUTES: "attributes", "属性";
    ACTION_COMMANDS: "command", "命令";
    ACTION_CONTENT: "content", "文件内容";
    ACTION_VALUES: "values", "数值";
    ACTION_POINTS: "points", "测点";
    ACTION_EVENTS: "events", "事件";
    ACTION_LOG: "log", "日志";
    ACTION_PRESENCE: "presence", "在线记录";
    ACTION_REFUSALS: "refusals", "拒绝记录";
    ACTION_VERSIONS: "versions", "版本";
    ACTION_IMPORTS: "import", "导入";
    ACTION_CREATE: "created", "创建";
    ACTION_UPDATE: "changed", "修改";
    ACTION_REPLACE: "replaced", "替换";
    ACTION_DELETE: "deleted", "删除";
    ACTION_READ: "shown", "查看";
    ACTION_EXPORT: "exported", "导出";
    ACTION_IMPORT: "imported", "导入";
    ACTION_ENABLE: "switched on", "启用";
    ACTION_DISABLE: "switched off", "停用";
    ACTION_RESET: "reset", "重置";
    ACTION_DISCONNECT: "disconnected", "断开连接";
    ACTION_ROTATE: "replaced by a new one", "轮换";
    ACTION_BULK: "done to many", "批量操作";
    ACTION_TAG: "tagged", "打标签";
    ACTION_INFER: "drafted from reports", "根据上报推断";
    ACTION_TRY: "tried", "试运行";
    ACTION_PUBLISH: "published", "发布";
    ACTION_ROLLBACK: "went back a version", "回退版本";
    ACTION_CANCEL: "cancelled", "取消";
    ACTION_PAUSE: "paused", "暂停";
    ACTION_RESUME: "resumed", "恢复";
    ACTION_SUSPEND: "suspended", "暂停使用";
    ACTION_HOLD: "writes held", "暂停写入";
    ACTION_LOGIN: "logged in", "登录";
    ACTION_LOGOUT: "logged out", "退出登录";
    ACTION_EVERYWHERE: "everywhere", "所有会话";
    ACTION_SET: "set", "设置";
    ACTION_CHANGE: "changed", "更改";
    ACTION_RESTORE: "restored from a backup", "从备份恢复";
    ACTION_ADOPT: "files adopted", "接管文件";
    ACTION_CUT: "entries before are missing", "此前的记录缺失";
    ACTION_FOREIGN: "of another store before", "此前属于其他存储";
}

/// What a part of an action is called, `devices` or `create`; `None`: it has no name.
pub(crate) fn of_action(part: &str) -> Option<Word> {
    ACTIONS.iter().find(|(known, _)| *known == part).map(|(_, word)| *word)
}

const ACTIONS: &[(&str, Word)] = &[
    ("devices", ACTION_DEVICES),
    ("products", ACTION_PRODUCTS),
    ("users", ACTION_USERS),
    ("tokens", ACTION_TOKENS),
    ("ous", ACTION_OUS),
    ("firmware", ACTION_FIRMWARE),
    ("rollouts", ACTION_ROLLOUTS),
    ("jobs", ACTION_JOBS),
    ("backup", ACTION_BACKUP),
    ("store", ACTION_STORE),
    ("audit", ACTION_AUDIT),
    ("me", ACTION_ME),
    ("sessions", ACTION_SESSIONS),
    ("secret", ACTION_SECRET),
    ("secrets", ACTION_SECRETS),
    ("password", ACTION_PASSWORD),
    ("model", ACTION_MODEL),
    ("script", ACTION_SCRIPT),
    ("tags", ACTION_TAGS),
    ("attributes", ACTION_ATTRIBUTES),
    ("commands", ACTION_COMMANDS),
    ("content", ACTION_CONTENT),
    ("values", ACTION_VALUES),
    ("points", ACTION_POINTS),
    ("events", ACTION_EVENTS),
    ("log", ACTION_LOG),
    ("presence", ACTION_PRESENCE),
    ("refusals", ACTION_REFUSALS),
    ("versions", ACTION_VERSIONS),
    ("imports", ACTION_IMPORTS),
    ("create", ACTION_CREATE),
    ("update", ACTION_UPDATE),
    ("replace", ACTION_REPLACE),
    ("delete", ACTION_DELETE),
    ("read", ACTION_READ),
    ("export", ACTION_EXPORT),
    ("import", ACTION_IMPORT),
    ("enable", ACTION_ENABLE),
    ("disable", ACTION_DISABLE),
    ("reset", ACTION_RESET),
    ("disconnect", ACTION_DISCONNECT),
    ("rotate", ACTION_ROTATE),
    ("bulk", ACTION_BULK),
    ("tag", ACTION_TAG),
    ("infer", ACTION_INFER),
    ("try", ACTION_TRY),
    ("publish", ACTION_PUBLISH),
    ("rollback", ACTION_ROLLBACK),
    ("cancel", ACTION_CANCEL),
    ("pause", ACTION_PAUSE),
    ("resume", ACTION_RESUME),
    ("suspend", ACTION_SUSPEND),
    ("hold", ACTION_HOLD),
    ("login", ACTION_LOGIN),
    ("logout", ACTION_LOGOUT),
    ("everywhere", ACTION_EVERYWHERE),
    ("set", ACTION_SET),
    ("change", ACTION_CHANGE),
    ("restore", ACTION_RESTORE),
    ("adopt", ACTION_ADOPT),
    ("cut", ACTION_CUT),
    ("foreign", ACTION_FOREIGN),
];
