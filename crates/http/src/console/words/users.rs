//! Users: the list, a new one, and the page of one.

use super::words;

words! {
    USERS: "Users", "用户";
    USER: "User", "用户";
    USERS_ACTIVE: "{n} may log in", "{n} 名可登录";
    USERS_INVITED: "{n} invited", "{n} 名已邀请";
    USERS_DISABLED: "{n} switched off", "{n} 名已停用";
    USERS_DAMAGED:
        "{n} user is damaged in the store and left out:|{n} users are damaged in the store and left out:",
        "{n} 名用户的存储记录已损坏，未列出：";
    USERS_SEARCH: "Name contains", "名称包含";
    USERS_NONE: "No user is called so.", "没有符合条件的用户。";
    USER_ROLE: "Role", "角色";
    USER_UNIT: "Organisation unit", "组织单元";
    USER_SINCE: "Created", "创建时间";
    USER_ACTIVE: "may log in", "可登录";
    USER_INVITED: "invited, has no password yet", "已邀请，尚未设置密码";
    USER_DISABLED: "switched off", "已停用";
    USER_LINK_ENDS: "The link ends", "链接失效时间：";
    USER_LINK_ENDED: "The link ended", "链接已失效：";
    ROLE_VIEWER_MAY: "reads", "只读";
    ROLE_OPERATOR_MAY: "also changes devices and sends commands", "还可更改设备、发送命令";
    ROLE_ADMINISTRATOR_MAY:
        "also makes products and devices, and shows secrets",
        "还可创建产品和设备、查看密钥";
    USER_NEW: "Invite a user", "邀请用户";
    USER_NEW_HINT:
        "You get a link to hand on. Whoever opens it first sets the password, and is that user.",
        "将生成一个链接供您转交：最先打开它的人设置密码，即成为该用户。";
    USER_NAME: "Name to log in with", "登录名";
    USER_CREATE: "Invite", "邀请";
    USER_CREATED: "{user} is invited", "已邀请 {user}";
    USER_WAS_RESET: "{user} has a new link", "{user} 有了新链接";
    USER_LINK: "Link that sets the password", "设置密码的链接";
    USER_LINK_ONCE:
        "Copy the link now and hand it on by a safe way: it is not shown again, and works once.",
        "请立即复制链接并以安全方式转交：链接不再显示，且只能使用一次。";
    USER_SHOW: "Show {user}", "查看 {user}";
    USER_CHANGE: "Change", "更改";
    USER_CHANGE_HINT: "A change ends all sessions of the user.", "更改会结束该用户的所有会话。";
    USER_ENABLED: "may log in", "允许登录";
    USER_SAVE: "Save", "保存";
    USER_RESET: "New link in the place of the password", "以新链接取代密码";
    USER_RESET_HINT:
        "Who has forgotten the password, or whose link has ended, needs a new link.",
        "忘记密码或链接已失效的用户需要新链接。";
    USER_DOES_RESET:
        "The password of {user} opens nothing any more, and all sessions of {user} end. You get a link \
        that sets a new one.",
        "{user} 的密码立即失效，所有会话结束；将生成设置新密码的链接。";
    USER_DOES_DELETE:
        "{user} will be deleted, and all sessions of {user} end. What {user} did stays in the audit log.",
        "将删除 {user} 并结束其所有会话；审计日志中的记录保留。";
    USER_SESSIONS: "Sessions", "会话";
    USER_SESSIONS_NONE: "The user is not logged in anywhere.", "该用户未在任何地方登录。";
    USER_SESSION_BEGUN: "Logged in", "登录时间";
    USER_SESSION_SEEN: "Last used", "最近使用";
    USER_SESSION_ENDS: "Ends", "结束时间";
    USER_SESSION_OWN: "this one", "当前会话";
    USER_SESSION_END: "End it", "结束会话";
}
