//! Tokens of programs, and organisation units.

use super::words;

words! {
    ACCESS_TABS: "Who may get in", "访问权限";
    TOKENS: "Tokens", "令牌";
    TOKEN: "Token", "令牌";
    TOKENS_NONE: "No token yet", "没有令牌";
    TOKENS_NONE_TEXT:
        "Programs call the API with a token. Each will stand here, with what it may do and until when.",
        "程序使用令牌调用 API。令牌会显示在这里，包括权限和有效期。";
    TOKENS_NONE_STEP: "Make the first one with the form below.", "请使用下方表单创建第一个令牌。";
    TOKENS_SHOW: "Show all tokens", "查看所有令牌";
    TOKEN_WITHOUT_END: "without end", "长期有效";
    TOKEN_ENDS: "ends", "失效时间";
    TOKEN_ENDED: "ended", "已失效";
    TOKEN_NEW: "Make a token", "创建令牌";
    TOKEN_NEW_HINT:
        "Make one for each program, with the least role that does: it can be revoked alone then.",
        "每个程序单独使用一个令牌，并授予最小角色，便于单独撤销。";
    TOKEN_NAME: "Name of the program", "程序名称";
    TOKEN_VALID: "Valid for", "有效期";
    TOKEN_CREATE: "Make it", "创建";
    TOKEN_CREATED: "The token {token}", "令牌 {token}";
    TOKEN_ONCE:
        "Copy the token now and keep it where secrets are kept: it is not shown again.",
        "请立即复制令牌并妥善保管：令牌不再显示。";
    TOKEN_REVOKE: "Revoke", "撤销";
    TOKEN_DOES_REVOKE:
        "The token {token} opens nothing any more, at once. Programs that use it are refused.",
        "令牌 {token} 立即失效，使用它的程序将被拒绝。";
    OUS: "Organisation units", "组织单元列表";
    OU_ALL: "all units", "全部单元";
    OU_KEY: "Key", "单元编号";
    OU_SERVED: "in service", "正常服务";
    OU_SUSPENDED: "suspended", "已暂停服务";
    OU_PRODUCTS: "Products at most", "产品上限";
    OU_DEVICES: "Devices at most", "设备上限";
    OU_REPORTS: "Reports a day at most", "每日上报上限";
    OU_ANY: "any number", "不限数量";
    OU_TODAY: "Reports today (UTC)", "今日上报（UTC）";
    OU_QUOTAS: "How much it may have", "配额";
    OU_QUOTA_HINT:
        "An empty field means any number. What the unit has already stays.",
        "留空表示不限。单元已有的内容不受影响。";
    OU_NO_NUMBER: "{field}: this is no whole number. Nothing was done.", "{field}：不是整数，未执行任何操作。";
    OU_NEW: "Make a unit", "新建组织单元";
    OU_CREATE: "Make the unit", "新建";
    OU_SUSPEND: "Suspend", "暂停服务";
    OU_SUSPEND_HINT:
        "A suspended unit is kept as it is, and nobody and no device of it gets in.",
        "暂停服务的单元内容保留，但其人员和设备均不能接入。";
    OU_RESUME: "Resume", "恢复服务";
    OU_RESUME_HINT: "Its devices, tokens and users get in again.", "其设备、令牌和用户可重新接入。";
    OU_DOES_SUSPEND:
        "All sessions of devices of {unit} end, and they are refused, as its tokens and users are, until \
        the unit is resumed.",
        "{unit} 的所有设备会话结束；恢复服务前，其设备、令牌和用户均被拒绝。";
}
