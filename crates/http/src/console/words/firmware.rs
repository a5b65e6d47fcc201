//! Firmware: images, offers, rollouts and the upgrades of devices.

use super::words;

words! {
    FW: "Firmware", "固件";
    FW_HEAD: "Firmware {version}", "固件 {version}";
    FW_VERSION: "Version", "版本";
    FW_ROLLOUT: "Rollout", "推送";
    FW_SIZE: "Size", "大小";
    FW_UPLOADED: "Uploaded", "上传时间";
    FW_FILE: "File", "文件";
    FW_ID: "Image", "镜像编号";
    FW_SUM: "SHA-256", "SHA-256 校验值";
    FW_NONE: "No firmware image yet", "没有固件镜像";
    FW_NONE_TEXT:
        "Each image that is uploaded will stand here, with who gets it and how far that is.",
        "上传的镜像会显示在这里，包括推送对象和进度。";
    FW_NONE_STEP: "Upload the first one below.", "请在下方上传第一个镜像。";
    FW_NONE_VIEWER: "Administrators upload them.", "由管理员上传。";
    FW_UPLOAD: "Upload an image", "上传镜像";
    FW_UPLOAD_GO: "Upload", "上传";
    FW_UPLOAD_STOPPED:
        "The upload stopped. The same file again goes on where it was.",
        "上传中断。再次上传同一文件即可续传。";
    FW_UPLOAD_TEXT:
        "By the command line, on the server's machine; an upload that was cut off goes on where it stopped.",
        "在服务器上通过命令行执行；中断后重新执行即可续传。";
    FW_UPLOAD_LINE:
        "narrowgate firmware upload FILE --product {product} --version V",
        "narrowgate firmware upload 文件 --product {product} --version 版本";
    FW_NOT_OFFERED: "not offered", "未推送";
    FW_NOT_OFFERED_TEXT:
        "No device gets this image yet. Offer it to one device first, then to a share of them.",
        "还没有设备会收到该镜像。请先推送给一台设备，再按比例推送。";
    FW_GOES_ON: "under way", "进行中";
    FW_PAUSED: "paused", "已暂停";
    FW_PAUSED_BY_FAILURES: "paused by failures", "因失败过多暂停";
    FW_PAUSED_DO:
        "More than a tenth of the upgrades that ended have failed, so no further device is told. See below \
        at what they failed. Then resume, or upload another image.",
        "已结束的升级中失败超过一成，因此不再通知其他设备。请在下方查看失败环节，然后继续推送或上传新镜像。";
    FW_SHARE: "{share} % of the devices", "{share}% 的设备";
    FW_NAMED: "devices that were named", "指定的设备";
    FW_STORED: "stored", "完好";
    FW_MISSING: "missing", "缺失";
    FW_DAMAGED: "damaged", "已损坏";
    FW_UNREADABLE: "cannot be read", "无法读取";
    FW_FILE_DO:
        "No device gets this image while its file is not whole. Upload the same file under the same \
        version again: it takes its place, and the rollout stays as it is.",
        "文件不完整时不会向任何设备提供该镜像。请以相同版本重新上传同一文件，推送状态保持不变。";
    FW_OFFER: "Offer it", "推送";
    FW_OFFER_HINT:
        "One device first, then a tenth, a half, all. A greater share keeps the devices of the smaller one.",
        "先推送给一台设备，再推送给一成、一半、全部。提高比例时保留原有设备。";
    FW_OFFER_DEVICE: "Device key", "设备标识";
    FW_OFFER_TO_DEVICE: "Offer it to this device", "推送给该设备";
    FW_OFFER_SHARE: "Share, percent", "比例（%）";
    FW_OFFER_TO_SHARE: "Offer it to this share", "按比例推送";
    FW_DOES_DEVICE:
        "Version {version} will be offered to the device {device} of {product}, which is told when it \
        fetches its commands.",
        "将向产品 {product} 的设备 {device} 推送版本 {version}，设备获取命令时收到通知。";
    FW_DOES_SHARE:
        "Version {version} will be offered to {share} % of all devices of {product}, each of which is told \
        when it fetches its commands. A share never shrinks.",
        "将向产品 {product} 全部设备中的 {share}% 推送版本 {version}，每台设备获取命令时收到通知。比例只能提高，不能降低。";
    FW_OFFERED_TOLD:
        "It is offered to {n} device that had not been offered it.|It is offered to {n} devices that had \
        not been offered it.",
        "已新推送给 {n} 台设备。";
    FW_OFFERED_NOBODY:
        "Nobody was chosen: of few devices a small share may have none.",
        "未选中任何设备：设备很少时，较小的比例可能不含设备。";
    FW_OFFERED_PAUSED: "The rollout is paused: devices are told once it goes on.", "推送已暂停：继续后才会通知设备。";
    FW_OFFERED_NEW: "Newly offered", "新推送";
    FW_OFFERED_BEFORE: "Were offered it before", "此前已推送";
    FW_OFFERED_HAVE: "Run it already", "已运行该版本";
    FW_OFFERED_NEVER: "Wait for their first login", "等待首次登录";
    FW_OFFERED_CHOSEN: "Chosen", "选中";
    FW_OFFERED_OF: "Devices of the product", "设备总数";
    FW_OFFERED_SHOW: "Show the rollout", "查看推送";
    FW_OFFER_MORE:
        "There are very many devices, and a part of them was looked at. Go on until all were.",
        "设备数量很大，目前只处理了一部分，请继续直到全部处理完。";
    FW_OFFER_ON: "Go on", "继续";
    FW_PAUSE: "Pause the rollout", "暂停推送";
    FW_PAUSE_HINT:
        "A pause takes back what no device has fetched; devices that have begun go on.",
        "暂停会撤回设备尚未获取的推送；已开始的设备继续进行。";
    FW_RESUME: "Resume the rollout", "继续推送";
    FW_RESUME_HINT: "What failed before does not count any more then.", "继续后，此前的失败不再计入。";
    FW_DOES_DELETE:
        "Version {version} of {product} will be deleted with its rollout: its file, and how far each device \
        was. Devices that run it keep it.",
        "将删除产品 {product} 的版本 {version} 及其推送记录；已运行该版本的设备不受影响。";
    FW_SINCE: "begun", "开始于";
    FW_PROGRESS: "{done} of {n} device done|{done} of {n} devices done", "{n} 台设备中已完成 {done} 台";
    FW_COUNT: "Devices", "设备数";
    FW_MEANS: "What that means", "含义";
    FW_WAITING: "waiting", "等待中";
    FW_WAITING_IS: "is to get it, and no command says so yet", "待推送，尚未下发命令";
    FW_OFFERED: "offered", "已下发";
    FW_OFFERED_IS: "a command waits for the device", "命令等待设备获取";
    FW_SENT: "sent", "已送达";
    FW_SENT_IS: "the device has fetched the command", "设备已获取命令";
    FW_ACCEPTED: "accepted", "已接受";
    FW_ACCEPTED_IS: "the device has answered that it takes it", "设备已答复接受";
    FW_DOWNLOADING: "downloading", "下载中";
    FW_DOWNLOADING_IS: "the device fetches the image", "设备正在获取镜像";
    FW_VERIFYING: "verifying", "校验中";
    FW_VERIFYING_IS: "the device has fetched all of it", "设备已获取完整镜像";
    FW_BURNING: "burning", "写入中";
    FW_BURNING_IS: "the device says how far it is", "设备正在上报写入进度";
    FW_DONE: "done", "已完成";
    FW_DONE_IS: "the device says that it runs this version", "设备已报告运行该版本";
    FW_FAILED: "failed", "失败";
    FW_FAILED_IS: "the device could not, would not, or was silent for 7 days", "设备无法升级、拒绝升级或 7 天无消息";
    FW_CANCELLED: "cancelled", "已取消";
    FW_CANCELLED_IS: "it was taken back, or another image was offered", "已撤回，或已推送其他镜像";
    FW_FAILURES: "At what upgrades failed", "升级失败环节";
    FW_FAILURES_OF: "Of the first {n} of these devices.", "仅统计其中前 {n} 台失败的设备。";
    FW_STEP: "Step", "环节";
    FW_DO: "What to do", "处理建议";
    FW_REFUSED: "refused", "拒绝升级";
    FW_REFUSED_DO:
        "The device answered that it does not take it: what it said stands beside it. Of a product with a \
        script: does the script make bytes of the offer?",
        "设备答复不接受升级，具体内容见设备列表。若产品使用脚本，请确认脚本能生成推送数据。";
    FW_DOWNLOAD: "download", "下载失败";
    FW_DOWNLOAD_DO:
        "The device could not fetch the image. Is its reception good enough for an image of this size?",
        "设备无法获取镜像。请确认信号足以下载该大小的镜像。";
    FW_VERIFY: "verify", "校验失败";
    FW_VERIFY_DO:
        "The device says that the image is not what it should be. Is it one for this device, and signed as \
        the device expects it?",
        "设备认为镜像不符合要求。请确认镜像适用于该设备，且签名方式正确。";
    FW_BURN: "burn", "写入失败";
    FW_BURN_DO: "The device could not write the image. Has it room for it?", "设备无法写入镜像。请确认存储空间足够。";
    FW_UPGRADE: "upgrade", "升级失败";
    FW_UPGRADE_DO: "The device names no step. What it said stands beside it.", "设备未说明环节，具体内容见设备列表。";
    FW_SILENT: "silent", "无消息";
    FW_SILENT_DO:
        "The device began and was not heard of for 7 days. Is it online? It is taken up again where it \
        goes on.",
        "设备开始升级后 7 天无消息。请检查是否在线；设备继续时会自动恢复。";
    FW_DEVICES: "Devices of the rollout", "推送中的设备";
    FW_DEVICES_NONE: "No device here.", "这里没有设备。";
    FW_SAID: "What the device said", "设备反馈";
    FW_ATTEMPTS: "Offers", "下发次数";
    FW_MOVED: "Changed last", "最近变化";
}
