//! The pages to log in, of the account, and behind a one-time link.

use super::words;

words! {
    LOGIN_TITLE: "Log in", "登录";
    LOGIN_BY: "Log in with {name}", "通过 {name} 登录";
    LOGIN_USER: "User name", "用户名";
    LOGIN_PASSWORD: "Password", "密码";
    LOGIN_WRONG: "The user name or the password is wrong.", "用户名或密码错误。";
    LOGIN_TOO_OFTEN:
        "Too many logins have failed. Try again in {n} seconds.",
        "登录失败次数过多，请在 {n} 秒后重试。";
    LOGIN_NO_PASSWORDS:
        "Users log in by the identity provider alone (oidc.passwords).",
        "用户只能通过身份提供商登录（oidc.passwords）。";
    LOGIN_NOT_OF_SESSION:
        "The form is not one of this session. Open /login again.",
        "该表单不属于当前会话，请重新打开 /login。";
    ACCOUNT_TITLE: "Your account", "您的账户";
    ACCOUNT_WHO:
        "You are logged in as {name}, {role} {unit}.",
        "您已登录为 {name}（{role}，{unit}）。";
    ACCOUNT_CONSOLE: "Open the console", "打开控制台";
    ACCOUNT_EVERYWHERE: "Log out everywhere", "在所有浏览器中退出";
    ACCOUNT_EVERYWHERE_HINT:
        "Everywhere: in each browser in which you are logged in, also in this one.",
        "在您登录过的每个浏览器中退出，包括当前浏览器。";
    PASSWORD_CHANGE: "Change the password", "修改密码";
    PASSWORD_CHANGE_HINT:
        "It logs you out in all other browsers.",
        "修改后，您在其他浏览器中的登录将失效。";
    PASSWORD_CHANGED: "The password is changed.", "密码已修改。";
    PASSWORD_PRESENT: "Current password", "当前密码";
    PASSWORD_PRESENT_WRONG: "The current password is wrong.", "当前密码错误。";
    PASSWORD_NEW: "New password", "新密码";
    PASSWORD_AGAIN: "New password, again", "再次输入新密码";
    PASSWORD_NOT_SAME: "The two passwords are not the same.", "两次输入的密码不一致。";
    PASSWORD_TOO_OFTEN:
        "Too many tries have failed. Try again in {n} seconds.",
        "尝试失败次数过多，请在 {n} 秒后重试。";
    PASSWORD_SET_TITLE: "Set a password", "设置密码";
    PASSWORD_SET: "Set the password", "设置密码";
    PASSWORD_SET_TEXT:
        "For the user {name}: at least {n} characters, and not one that many others have. A few words that \
        do not belong together are good.",
        "用户 {name}：至少 {n} 个字符，且不要使用常见密码。几个互不相关的词语是不错的选择。";
    PAGE_NOT_FOUND: "Not found", "未找到";
    PAGE_NOTHING: "There is nothing at {path}.", "{path} 处没有内容。";
    PAGE_NOT_POSSIBLE: "Not possible", "无法执行";
    PAGE_OPENED_ONLY:
        "This page is opened, and no form is sent to it.",
        "此页面仅供打开，不接受表单。";
    PAGE_FORM_ONLY:
        "This address takes a form, and no page is opened by it.",
        "此地址只接收表单，不能作为页面打开。";
    PAGE_NOT_NOW: "Not now", "暂时无法处理";
    PAGE_IN_A_MOMENT:
        "The server cannot do that now. Try again in a moment.",
        "服务器暂时无法处理，请稍后重试。";
    PAGE_LATER: "The server cannot do that now. Try again later.", "服务器暂时无法处理，请稍后再试。";
    PAGE_WRONG_REQUEST:
        "What the browser has sent is not what belongs here.",
        "浏览器发送的内容不正确。";
    PAGE_TOO_OFTEN: "Too often", "过于频繁";
    PAGE_NOT_DONE: "Not done", "未执行";
    LINK_NOT_VALID:
        "This link is not valid, or not any more: it sets a password once, within a day. An administrator \
        makes a new one, also by narrowgate user reset NAME.",
        "此链接无效或已失效：它只能在一天内设置一次密码。管理员可创建新链接，也可使用 narrowgate user reset NAME。";
    LINK_TOO_OFTEN:
        "Too many links that are not valid come from this address.",
        "来自此地址的无效链接过多。";
    OIDC_NOT: "Not logged in", "未登录";
    OIDC_UNREACHABLE:
        "The identity provider does not answer as it should. Try again later; the log of this server says \
        more.",
        "身份提供商未正常响应，请稍后重试；详情见本服务器日志。";
    OIDC_REFUSED:
        "The identity provider has refused the login. Ask who runs it whether you may use this server; the \
        log of this server says more.",
        "身份提供商拒绝了登录。请向其管理者确认您是否可以使用本服务器；详情见本服务器日志。";
    OIDC_TOKEN:
        "What the identity provider has sent is not good for this login. Log in again; if it stays so, the \
        log of this server says why.",
        "身份提供商返回的内容对本次登录无效。请重新登录；如问题依旧，原因见本服务器日志。";
    OIDC_CLAIMS:
        "The identity provider does not say who you are in the way that this server is set up for. The log \
        of this server says what is missing.",
        "身份提供商未按本服务器的设置说明您的身份，缺少的内容见本服务器日志。";
    OIDC_NAME:
        "Your name at the identity provider cannot be one of a user here.",
        "您在身份提供商处的名称不能用作本服务器的用户名。";
    OIDC_UNKNOWN:
        "There is no user of your name here. An administrator makes one: narrowgate user create NAME.",
        "这里没有与您同名的用户。管理员可以创建：narrowgate user create NAME。";
    OIDC_DISABLED:
        "You may not log in: an administrator has switched this user off.",
        "无法登录：管理员已停用该用户。";
    OIDC_MADE_HERE:
        "A user of your name was made here and logs in with a password. An administrator can delete it, or \
        you can be given another name at the identity provider.",
        "这里已有与您同名的用户，使用密码登录。管理员可以删除该用户，或在身份提供商处为您更换名称。";
    OIDC_NO_ROLE:
        "None of your groups at the identity provider may use this server (oidc.roles).",
        "您在身份提供商处的用户组均无权使用本服务器（oidc.roles）。";
    OIDC_NO_UNIT:
        "The organisation unit of your group is none of this server (oidc.roles).",
        "本服务器上没有您用户组所属的组织单元（oidc.roles）。";
    OIDC_USED: "This login was used already. Log in again.", "本次登录已使用过，请重新登录。";
    OIDC_TOO_MANY:
        "Too many users log in at the moment. Try again later.",
        "当前登录的用户过多，请稍后重试。";
    OIDC_TOO_OFTEN:
        "Too many logins by the identity provider have failed at this address.",
        "此地址通过身份提供商登录失败的次数过多。";
    OIDC_NOT_BEGUN:
        "This login was not begun in this browser, was finished already, or has taken longer than ten \
        minutes.",
        "本次登录不是在此浏览器中开始的、已经完成，或已超过十分钟。";
    OIDC_NONE:
        "There is no login by an identity provider here (oidc.issuer).",
        "这里没有设置身份提供商登录（oidc.issuer）。";
    FORM_ELSEWHERE:
        "The form comes from another site. A proxy before this server must hand on the header Host.",
        "表单来自其他网站。服务器前的代理必须转发 Host 标头。";
    FORM_UNREAD: "The form cannot be read.", "无法读取表单。";
    FORM_NONE: "The request is not what a form sends.", "请求不是表单提交的内容。";
    FORM_TOO_LONG: "The form is too long.", "表单过长。";
    FORM_LATE: "The rest of the form did not arrive.", "表单的其余部分未到达。";
    PASSWORD_TOO_SHORT: "The password has fewer than {n} characters.", "密码少于 {n} 个字符。";
    PASSWORD_TOO_LONG: "The password has more than {n} bytes.", "密码超过 {n} 个字节。";
    PASSWORD_TOO_COMMON:
        "The password is among those that are guessed first: common words, the user's name, runs and \
        repetitions count for little.",
        "该密码容易被猜到：常见词语、用户名、连续字符和重复字符几乎不计入强度。";
    ABOUT_SERVER: "About this server", "关于此服务器";
}
