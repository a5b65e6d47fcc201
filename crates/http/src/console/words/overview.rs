//! The overview.

use super::words;

words! {
    OVERVIEW_WELL: "All is well", "一切正常";
    OVERVIEW_WATCH: "{n} thing to watch|{n} things to watch", "{n} 项需要关注";
    OVERVIEW_ACT: "{n} thing needs you now|{n} things need you now", "{n} 项需要立即处理";
    WORD_WELL: "well", "正常";
    WORD_WATCH: "watch", "关注";
    WORD_ACT: "act", "处理";
    COUNTING:
        "The devices are being counted; their numbers come in a moment.",
        "正在统计设备，数量稍后显示。";
    COUNTED_AGO:
        "The devices were counted {time}, and are being counted anew.",
        "设备数量统计于{time}，正在重新统计。";
    ONLINE_NOW: "Online now", "当前在线";
    OF_REGISTERED: "of {n} registered", "共 {n} 台已注册";
    REPORTS_PER_MINUTE: "Reports per minute", "每分钟上报";
    REPORTS_HOUR: "in the last minute; {n} on the average of the last hour", "最近一分钟；最近一小时平均 {n}";
    REFUSED_HOUR: "Refused in the last hour", "最近一小时被拒绝";
    REFUSED_NONE: "Nothing was refused in the last hour.", "最近一小时没有拒绝任何连接。";
    REFUSED_ALL: "Show the refusals", "查看拒绝记录";
    SILENT: "Offline: silent, or logged out", "离线：沉默或已退出";
    SILENT_NONE: "No device is offline.", "没有离线设备。";
    SILENT_SHOW: "Show them", "查看";
    INACTIVE_TOO: "{n} never logged in|{n} never logged in", "{n} 台从未登录";
    DISABLED_TOO: "{n} switched off|{n} switched off", "{n} 台已停用";
    BY_PRODUCT: "Devices by product", "按产品统计设备";
    PRODUCT: "Product", "产品";
    REGISTERED: "Registered", "已注册";
    OTHER_PRODUCTS: "{n} other product|{n} other products", "其他 {n} 个产品";
    SERVER: "The server", "服务器";
    DISK: "Disk", "磁盘";
    DISK_USED: "{used} used, {free} free", "已用 {used}，剩余 {free}";
    DISK_USED_ALONE: "{used} used", "已用 {used}";
    STORE: "Store", "存储";
    STORE_WELL: "All reports are written down.", "所有上报均已写入。";
    STORE_REFUSES:
        "It cannot write: {n} requests of devices were refused in the last minute.",
        "无法写入：最近一分钟拒绝了 {n} 个设备请求。";
    STORE_UNREADABLE: "It cannot be read now.", "当前无法读取。";
    COMMIT: "Commit time", "提交耗时";
    COMMIT_SAID: "99 of 100 took at most {time} s lately", "近期 99% 的提交不超过 {time} 秒";
    COMMIT_LONG: "some took longer than 10 s lately", "近期有提交超过 10 秒";
    QUEUE: "Queue", "队列";
    QUEUE_SAID: "{n} write waits for its commit|{n} writes wait for their commit", "{n} 个写入等待提交";
    RUNNING: "Running", "运行时间";
    RUNNING_FOR: "version {version}, up for {time}", "版本 {version}，已运行 {time}";
    RUNNING_VERSION: "version {version}", "版本 {version}";
    REASON: "Reason", "原因";
    HOW_OFTEN: "How often", "次数";
    ADVICE: "What to do", "处理建议";
    EMPTY_FLEET: "No device yet", "还没有设备";
    EMPTY_FLEET_TEXT:
        "The devices that connect will be counted here, and what was refused will be explained.",
        "设备连接后，这里会统计数量，并解释被拒绝的连接。";
    EMPTY_FLEET_STEP:
        "Begin with a product: narrowgate product create NAME",
        "先创建一个产品：narrowgate product create NAME";
    UNIT_OVERVIEW:
        "Numbers of the whole server are for users of all organisation units.",
        "整个服务器的统计仅对所有组织单元的用户可见。";
    REFUSED_LAST: "What was refused last", "最近被拒绝的连接";
    REFUSED_NEVER: "No device of your unit was refused lately.", "近期没有本组织单元的设备被拒绝。";
    UNIT_DEVICES: "Show the devices of your unit", "查看本组织单元的设备";
}
