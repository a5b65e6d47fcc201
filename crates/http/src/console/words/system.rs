//! The server itself.

use super::words;

words! {
    SYSTEM: "System", "系统";
    SIGNS: "What the server noticed since it started", "启动以来服务器发现的问题";
    SIGNS_NONE: "nothing that needs anybody", "没有需要处理的问题";
    SIGN: "What was noticed", "发现的问题";
    SIGN_CLOCK: "The clock is wrong, seconds", "时钟有误（秒）";
    SIGN_CLOCK_DO: "Check the time synchronisation of this machine: times of reports are made of its clock.",
        "请检查本机的时间同步：上报时间取自本机时钟。";
    SIGN_AUDIT: "The audit log could not be written", "审计日志无法写入";
    SIGN_AUDIT_DO: "What operators ask for is not done meanwhile: free some space, and look into the log of \
         the server.",
        "在此期间操作不会执行：请释放磁盘空间，并查看服务器日志。";
    SIGN_BATCHES: "The store could not write", "存储无法写入";
    SIGN_BATCHES_DO: "Devices got 5.03 and came again: free some space, or look after the disk.",
        "设备收到 5.03 并会重试：请释放磁盘空间或检查磁盘。";
    SIGN_SHARED: "Two devices use one secret", "两台设备使用同一密钥";
    SIGN_SHARED_DO: "The log of the device says which, as secret_shared. Take the copy away, then reset the \
         device.",
        "设备日志中的 secret_shared 会指明设备。请移除副本，然后重置该设备。";
    SIGN_FORGED: "Somebody forged records of sessions", "有人伪造会话记录";
    SIGN_FORGED_DO: "They were dropped, and the sessions went on. The log of the server names the devices.",
        "伪造的记录已丢弃，会话不受影响。服务器日志中有相关设备。";
    SIGN_RECEIVE: "Datagrams were lost before they were read", "数据报在读取前丢失";
    SIGN_RECEIVE_DO: "Raise net.core.rmem_max of this machine, or use more shards.",
        "请增大本机的 net.core.rmem_max，或增加分片数量。";
    SIGN_SEND: "Datagrams could not be sent", "数据报无法发送";
    SIGN_SEND_DO: "The network was slower than the server: raise net.core.wmem_max. Devices send again.",
        "网络慢于服务器：请增大 net.core.wmem_max。设备会重发。";
    SIGN_LOG: "Lines of the server's log were lost", "服务器日志有行丢失";
    SIGN_LOG_DO: "The disk of the log is full, or its reader is slow or gone.", "日志磁盘已满，或读取方过慢或已退出。";
    DISK_TITLE: "What takes the room on the disk", "磁盘占用";
    DISK_MESSAGES: "Values of devices", "设备数值";
    DISK_LOGS: "Logs of devices", "设备日志";
    DISK_REGISTRY: "Devices, products, users", "设备、产品与用户";
    DISK_BACKUPS: "Backups that are kept here", "保存在本机的备份";
    DISK_OTHER: "Everything else", "其他";
    DISK_FREE: "Free", "剩余";
    DISK_HINT: "Values are kept for store.retention, and logs for store.log_retention, in the configuration.",
        "数值按配置中的 store.retention 保留，日志按 store.log_retention 保留。";
    BACKUP: "Backup", "备份";
    BACKUP_TEXT: "Everything as it is at one moment, into the directory backups of the data directory. \
         Devices are served meanwhile; a large store takes some minutes, and the backup goes on behind this \
         page.",
        "将某一时刻的全部内容备份到数据目录下的 backups。期间设备照常服务；数据量大时需要几分钟，备份会在后台继续。";
    BACKUP_WITH_KEY: "With the data key: whoever has the backup can then read every secret",
        "包含数据密钥：持有该备份的人可以读取所有密钥";
    BACKUP_MAKE: "Make a backup now", "立即备份";
    BACKUP_HINT: "Take it to another machine: up to ten are kept here. A backup without the data key needs \
         that key when it is restored.",
        "请将备份转移到其他机器：本机最多保留十份。不含数据密钥的备份在恢复时需要该密钥。";
    BACKUP_MADE: "The backup was made", "备份已完成";
    BACKUP_GOES_ON: "The backup goes on: when it is made, it has an entry here:", "备份仍在进行，完成后会在此处有记录：";
    BACKUP_FILES: "{n} file|{n} files", "{n} 个文件";
    BACKUP_HAS_KEY: "with the data key", "包含数据密钥";
    BACKUP_HAS_NO_KEY: "without the data key", "不含数据密钥";
    BACKUP_IMAGES: "The files of these images are not whole in it:", "以下固件的文件不完整：";
    BACKUP_NO_AUDIT: "It has no audit log, which cannot be read:", "其中没有审计日志，因为日志无法读取：";
    MEASURES: "All that this server counts", "服务器的全部统计";
    MEASURES_TEXT: "Numbers since the start, or of this moment. Programs read them here:",
        "自启动以来或当前时刻的数值。程序可从此处读取：";
    MEASURE: "Name", "名称";
    MEASURE_VALUE: "Value", "数值";
    MEASURE_MEANS: "What it means", "含义";
}
