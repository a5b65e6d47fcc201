//! What stands on every page.

use super::words;

words! {
    ENGLISH: "English", "English";
    CHINESE: "中文", "中文";
    SKIP: "Skip to the content", "跳到正文";
    SKIP_LIST: "Skip the list", "跳过列表";
    NAVIGATION: "Pages", "页面";
    SEARCH: "Search devices", "搜索设备";
    SEARCH_HINT: "Device key or name begins with", "设备标识或名称的开头";
    OVERVIEW: "Overview", "概览";
    ACCOUNT: "Account and password", "账户与密码";
    LOG_OUT: "Log out", "退出登录";
    LANGUAGE: "Language", "语言";
    ZONE: "Time zone", "时区";
    ZONE_LOCAL: "Use local time", "改用本地时间";
    ZONE_UTC: "Use UTC", "改用 UTC";
    API: "API", "API 文档";
    ROLE_VIEWER: "viewer", "查看者";
    ROLE_OPERATOR: "operator", "操作员";
    ROLE_ADMINISTRATOR: "administrator", "管理员";
    OF_ALL_UNITS: "of all organisation units", "所有组织单元";
    OF_UNIT: "of unit {ou}", "组织单元 {ou}";
    KEYS: "Keyboard shortcuts", "键盘快捷键";
    KEY_SEARCH: "search devices", "搜索设备";
    KEY_DOWN: "next row of a list", "列表下一行";
    KEY_UP: "previous row", "上一行";
    KEY_OPEN: "open the row", "打开该行";
    KEY_HELP: "show these shortcuts", "显示快捷键";
    KEY_GO: "go to {page}", "转到{page}";
    CLOSE: "Close", "关闭";
    COPY: "Copy", "复制";
    NEW_ROWS: "{n} new: show", "{n} 条新内容：显示";
    JUST_NOW: "just now", "刚刚";
    AGO: "{time} ago", "{time}前";
    AHEAD: "in {time}", "{time}后";
    NEVER: "never", "从未";
    SECONDS_SHORT: "{n} s", "{n} 秒";
    MINUTES_SHORT: "{n} min", "{n} 分钟";
    HOURS_SHORT: "{n} h", "{n} 小时";
    DAYS_SHORT: "{n} day|{n} days", "{n} 天";
    SECONDS: "{n} second|{n} seconds", "{n} 秒";
    MINUTES: "{n} minute|{n} minutes", "{n} 分钟";
    HOURS: "{n} hour|{n} hours", "{n} 小时";
    DAYS: "{n} day|{n} days", "{n} 天";
    NEXT_PAGE: "Next page", "下一页";
    FIRST_PAGE: "First page", "第一页";
    PAGES: "Pages of the list", "列表分页";
    CANCEL: "Cancel", "取消";
    FILTER_OFF: "Remove the filter {filter}", "移除筛选条件 {filter}";
    CONFIRM_TYPE: "To confirm, type {name}", "请输入 {name} 以确认";
    CONFIRM_WRONG: "What was typed is not {name}. Nothing was done.", "输入的内容不是 {name}，未执行任何操作。";
    STATE_ONLINE: "online", "在线";
    STATE_OFFLINE: "offline", "离线";
    STATE_INACTIVE: "never logged in", "从未登录";
    STATE_DISABLED: "switched off", "已停用";
    STATE_DAMAGED: "damaged", "已损坏";
    TROUBLE: "That did not work", "操作未成功";
    TROUBLE_NOT_FOUND: "There is nothing here", "这里没有内容";
    TROUBLE_FORBIDDEN: "You may not do that", "没有权限";
    TROUBLE_BUSY: "Too many requests at once", "请求过多";
    TROUBLE_SERVER: "The server cannot do that now", "服务器暂时无法处理";
    TROUBLE_AGAIN: "Try again in a moment.", "请稍后重试。";
    TROUBLE_ID: "Request {id}: the log of the server knows it by this name.", "请求编号 {id}，服务器日志中可按此查找。";
    NO_PAGE: "No page of the console has the address {path}.", "控制台没有地址为 {path} 的页面。";
    NO_PAGE_FORM:
        "{path} takes a form of a page, and cannot be opened by its address.",
        "{path} 只接收页面提交的表单，不能通过地址打开。";
    GO_TO: "Go to {page}", "前往{page}";
    TROUBLE_HOME: "Go to the overview", "返回概览";
    TRY: "Try:", "建议：";
    WHERE: "at {place}", "位置：{place}";
}
