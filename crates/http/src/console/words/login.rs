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
        "You are logged out in all other browsers by that.",
        "修改后，您在其他浏览器中的登录将失效。";
    PASSWORD_CHANGED: "The password is changed.", "密码已修改。";
    PASSWORD_PRESENT: "Present password", "当前密码";
    PASSWORD_PRESENT_WRONG: "The present password is wrong.", "当前密码错误。";
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
    PAGE_NOTHING: "There is nothing here.", "这里没有内容。";
    PAGE_NOT_POSSIBLE: "Not possible", "无法执行";
    PAGE_OPENED_ONLY:
        "This page is opened, and no form is sent to it.",
        "此页面仅供打开，不接受表单。";
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
    ABOUT_SERVER: "About this server", "关于此服务器";
}
