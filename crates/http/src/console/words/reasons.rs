//! Why something was refused, in plain words, and what to do about it.

use narrowgate_api::log::Reason;

use super::{Word, words};

/// What a reason means, and what to do.
pub(in crate::console) fn of_reason(reason: Option<Reason>) -> (Word, Word) {
    match reason {
        None => (NO_NAME, NO_NAME_DO),
        Some(Reason::IdentityMalformed) => (IDENTITY_MALFORMED, IDENTITY_MALFORMED_DO),
        Some(Reason::ProductUnknown) => (PRODUCT_UNKNOWN, KEYS_DO),
        Some(Reason::DeviceUnknown) => (DEVICE_UNKNOWN, KEYS_DO),
        Some(Reason::ModeUnknown) => (MODE_UNKNOWN, MODE_UNKNOWN_DO),
        Some(Reason::LifetimeOutOfRange) => (LIFETIME_RANGE, LIFETIME_RANGE_DO),
        Some(Reason::DynamicActivationOff) => (ACTIVATION_OFF, ACTIVATION_OFF_DO),
        Some(Reason::AlreadyActivated) => (ALREADY_ACTIVATED, ALREADY_ACTIVATED_DO),
        Some(Reason::DeviceDisabled) => (DEVICE_DISABLED, SWITCH_ON_DO),
        Some(Reason::ProductDisabled) => (PRODUCT_DISABLED, SWITCH_ON_DO),
        Some(Reason::UnitSuspended) => (UNIT_SUSPENDED, UNIT_SUSPENDED_DO),
        Some(Reason::NoCommonCipherSuite) => (NO_SUITE, NO_SUITE_DO),
        Some(Reason::WrongKey) => (WRONG_KEY, WRONG_KEY_DO),
        Some(Reason::VersionUnsupported) => (VERSION, VERSION_DO),
        Some(Reason::RateLimited) => (RATE_LIMITED, RATE_LIMITED_DO),
        Some(Reason::TopicForeign) => (TOPIC_FOREIGN, TOPIC_FOREIGN_DO),
        Some(Reason::BodyMalformed) => (BODY_MALFORMED, DETAIL_DO),
        Some(Reason::ModelInvalid) => (MODEL_INVALID, MODEL_INVALID_DO),
        Some(Reason::PathUnknown) => (PATH_UNKNOWN, DETAIL_DO),
        Some(Reason::MethodWrong) => (METHOD_WRONG, DETAIL_DO),
        Some(Reason::OptionUnsupported) => (OPTION_UNSUPPORTED, DETAIL_DO),
        Some(Reason::NotAcceptable) => (NOT_ACCEPTABLE, NOT_ACCEPTABLE_DO),
        Some(Reason::MessageMalformed) => (MESSAGE_MALFORMED, MESSAGE_MALFORMED_DO),
        Some(Reason::MessageIdReused) => (MESSAGE_ID_REUSED, MESSAGE_ID_REUSED_DO),
        Some(Reason::SecretShared) => (SECRET_SHARED, SECRET_SHARED_DO),
        Some(Reason::TimeDoubtful) => (TIME_DOUBTFUL, TIME_DOUBTFUL_DO),
        Some(Reason::TooLarge) => (TOO_LARGE, TOO_LARGE_DO),
        Some(Reason::NotDtls) => (NOT_DTLS, NOT_DTLS_DO),
        Some(Reason::CommandNotOpen) => (COMMAND_NOT_OPEN, COMMAND_NOT_OPEN_DO),
        Some(Reason::NotificationLost) => (NOTIFICATION_LOST, NOTIFICATION_LOST_DO),
        Some(Reason::NoUpgrade) => (NO_UPGRADE, NO_UPGRADE_DO),
    }
}

words! {
    NO_NAME: "breach of the protocol", "违反协议";
    NO_NAME_DO: "The detail says what was sent; check the client's library.", "详情说明了发送的内容，请检查客户端库。";
    IDENTITY_MALFORMED: "identity malformed", "身份格式错误";
    IDENTITY_MALFORMED_DO:
        "Four fields with three commas: product key, device key, mode, lifetime. No spaces, no line end, \
        no NUL.",
        "四个字段、三个逗号：产品标识、设备标识、模式、生命周期；不含空格、换行或 NUL。";
    PRODUCT_UNKNOWN: "product unknown", "产品不存在";
    DEVICE_UNKNOWN: "device unknown", "设备不存在";
    KEYS_DO:
        "Compare the keys with those of the device, letter by letter and with their case; or register \
        the device.",
        "逐字核对标识（区分大小写），或注册该设备。";
    MODE_UNKNOWN: "secure mode unknown", "安全模式未知";
    MODE_UNKNOWN_DO:
        "The third field of the identity is 2 (own secret) or 3 (product secret).",
        "身份的第三个字段应为 2（设备密钥）或 3（产品密钥）。";
    LIFETIME_RANGE: "lifetime out of range", "生命周期超出范围";
    LIFETIME_RANGE_DO:
        "The fourth field of the identity is 30 to 86400 seconds, without sign or leading zero.",
        "身份的第四个字段应为 30 到 86400 秒，不带符号或前导零。";
    ACTIVATION_OFF: "dynamic activation is off", "动态激活未开启";
    ACTIVATION_OFF_DO:
        "Switch dynamic activation of the product on, or give the device its own secret.",
        "开启该产品的动态激活，或为设备写入自己的密钥。";
    ALREADY_ACTIVATED: "already activated", "已激活";
    ALREADY_ACTIVATED_DO:
        "The device has its own secret: it uses mode 2. If it has lost it, reset the device.",
        "设备已有自己的密钥，应使用模式 2；若已丢失，请重置设备。";
    DEVICE_DISABLED: "device is switched off", "设备已停用";
    PRODUCT_DISABLED: "product is switched off", "产品已停用";
    SWITCH_ON_DO: "An operator switched it off. Switch it on to let it in.", "由操作员停用，重新启用即可接入。";
    UNIT_SUSPENDED: "organisation unit is suspended", "组织单元已暂停";
    UNIT_SUSPENDED_DO:
        "Nothing is wrong with the device. An administrator resumes the unit.",
        "设备本身无问题，由管理员恢复组织单元。";
    NO_SUITE: "no common cipher suite", "没有共同的密码套件";
    NO_SUITE_DO:
        "Let the device offer TLS_PSK_WITH_AES_128_CCM_8 (C0A8) or TLS_PSK_WITH_AES_128_CBC_SHA256 \
        (00AE).",
        "让设备提供 TLS_PSK_WITH_AES_128_CCM_8（C0A8）或 TLS_PSK_WITH_AES_128_CBC_SHA256（00AE）。";
    WRONG_KEY: "wrong key", "密钥错误";
    WRONG_KEY_DO:
        "The detail names the mistake where one fits. Else copy the key from the page of the device.",
        "若能识别错误，详情会说明；否则从设备页面复制密钥。";
    VERSION: "version not supported", "版本不受支持";
    VERSION_DO: "The device must speak DTLS 1.2.", "设备必须使用 DTLS 1.2。";
    RATE_LIMITED: "too often", "过于频繁";
    RATE_LIMITED_DO:
        "Let the device wait between attempts, longer each time. The detail says what there was too much \
        of.",
        "让设备在重试之间等待，且逐次延长；详情说明了超限的内容。";
    TOPIC_FOREIGN: "topic of another device", "属于其他设备的主题";
    TOPIC_FOREIGN_DO:
        "The keys in the path must be those of the identity; a mode 3 session fetches its secret and \
        nothing else.",
        "路径中的标识必须与身份一致；模式 3 会话只能获取密钥。";
    BODY_MALFORMED: "body malformed", "消息体格式错误";
    MODEL_INVALID: "not as the thing model says", "不符合物模型";
    MODEL_INVALID_DO:
        "The detail names the point and what was received. Correct the device or the model of its \
        product.",
        "详情给出了测点和收到的内容，请修正设备或产品的物模型。";
    PATH_UNKNOWN: "path unknown", "路径未知";
    METHOD_WRONG: "wrong method", "方法错误";
    OPTION_UNSUPPORTED: "option not supported", "选项不受支持";
    DETAIL_DO: "The detail names the slip and where it is.", "详情指出了错误及其位置。";
    NOT_ACCEPTABLE: "format not acceptable", "格式不可接受";
    NOT_ACCEPTABLE_DO:
        "Leave the option Accept out, or ask for 50 (JSON) or 60 (CBOR).",
        "省略 Accept 选项，或请求 50（JSON）或 60（CBOR）。";
    MESSAGE_MALFORMED: "no CoAP message", "不是 CoAP 消息";
    MESSAGE_MALFORMED_DO:
        "Each record of the session must hold one CoAP request.",
        "会话的每条记录必须包含一个 CoAP 请求。";
    MESSAGE_ID_REUSED: "message id used again", "消息编号重复";
    MESSAGE_ID_REUSED_DO:
        "The report was not stored. Count the message id up with each new request.",
        "该上报未被存储，请让消息编号随每个新请求递增。";
    SECRET_SHARED: "secret probably shared", "密钥可能被共用";
    SECRET_SHARED_DO:
        "Two devices seem to use one secret. Take the copy away and reset the right device.",
        "两台设备似乎使用同一密钥，请移除副本并重置正确的设备。";
    TIME_DOUBTFUL: "doubtful time", "时间可疑";
    TIME_DOUBTFUL_DO:
        "Times are Unix milliseconds. Correct the clock of the device, or leave the time out.",
        "时间应为 Unix 毫秒，请校准设备时钟或省略时间。";
    TOO_LARGE: "too large", "内容过大";
    TOO_LARGE_DO: "Report less at once, and large values under few names.", "减少单次上报的内容，大数值使用较少的名称。";
    NOT_DTLS: "not DTLS", "不是 DTLS";
    NOT_DTLS_DO:
        "Something else came to the port: use coaps:// in the client.",
        "端口收到了其他协议，请在客户端使用 coaps://。";
    COMMAND_NOT_OPEN: "reply to no open command", "回复没有对应的命令";
    COMMAND_NOT_OPEN_DO:
        "It was answered before, cancelled, or is over. The reply changed nothing.",
        "该命令已回复、取消或过期，此回复未产生影响。";
    NOTIFICATION_LOST: "notification lost", "通知丢失";
    NOTIFICATION_LOST_DO:
        "Commands wait, and the device did not take the notification: let it send something every \
        minute.",
        "命令在等待，但设备未收到通知，请让设备每分钟发送一次消息。";
    NO_UPGRADE: "no such upgrade", "没有该升级";
    NO_UPGRADE_DO:
        "The upgrade is over or never began. After a failure wait for the next offer.",
        "升级已结束或从未开始，失败后请等待下一次下发。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_words() {
        let mut said: Vec<_> = Reason::ALL.map(|reason| of_reason(Some(reason)).0.en).into();
        said.push(of_reason(None).0.en);
        let all = said.len();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), all);
    }
}
