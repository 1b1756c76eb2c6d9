"""What questions are about: everyday subjects, and the occasions of the special registers."""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", " ").split(";") if part.strip())


def _characters(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", "").split("；") if part.strip())


_EVERYDAY = {
    "en": _lines("""
        falling asleep; cooking for one; bread and baking; coffee and tea; eating more vegetables;
        leftovers in the fridge; washing clothes; cleaning the kitchen; a blocked sink; house plants;
        a small garden; birds in the yard; living with a cat; walking a dog; noisy neighbors;
        moving to a new flat; a tight budget; saving for a trip; paying bills on time;
        shopping for shoes; buying a used bicycle; riding a bus; driving in rain; packing a suitcase;
        camping in the woods; a day at the beach; maps and directions; the weather; the moon and stars;
        oceans and rivers; volcanoes and earthquakes; trees in autumn; the human body; teeth;
        running and fitness; learning to swim; football with friends; board games; movies at home;
        learning the guitar; singing in a choir; taking photographs; drawing and painting;
        reading more books; writing a letter; learning a language; mental arithmetic; school homework;
        a science fair; ancient history; famous inventions; capitals and countries; a job interview;
        a boring meeting; emails at work; a slow computer; a lost phone; passwords; birthdays and gifts;
        meeting new people; raising small children; calling grandparents
    """),
    "zh": _characters("""
        睡不着觉；一个人做饭；包子和馒头；喝茶和咖啡；多吃蔬菜；冰箱里的剩菜；洗衣服；打扫厨房；下水道堵了；养绿植；
        阳台种菜；小区里的鸟；养猫；遛狗；楼上的噪音；搬家；工资不够花；攒钱旅行；按时交房租；买鞋；二手自行车；
        挤地铁；雨天开车；收拾行李；郊外露营；海边的一天；看地图认路；天气变化；月亮和星星；江河湖海；火山和地震；
        秋天的树；人的身体；牙齿；跑步健身；学游泳；和朋友打球；下棋；在家看电影；学吉他；唱歌；拍照片；画画；
        读书；写信；学外语；心算；孩子的作业；科学小实验；古代历史；有名的发明；各国首都；面试；无聊的会议；
        工作邮件；电脑变慢；手机丢了；记密码；生日礼物；认识新朋友；带小孩；给爷爷奶奶打电话
    """),
}

_GRAVE = {
    "en": _lines("""
        the death of a parent; a pet that has to be put to sleep; a frightening diagnosis;
        a miscarriage; a friend who talks of giving up; losing a job with children at home;
        a painful divorce; a house fire; a bad car accident; a child in hospital; being arrested;
        an eviction notice; sudden chest pain; a mother with dementia; being hurt by a partner;
        debts that cannot be paid; a funeral speech; the first year after a loss
    """),
    "zh": _characters("""
        父母去世；宠物快不行了；刚查出重病；流产；朋友说不想活了；家里有孩子却丢了工作；离婚；家里失火；出了车祸；
        孩子住院；被警察带走；房东要赶人；突然胸口疼；母亲得了失忆症；被伴侣打了；还不起的债；写悼词；亲人走后的第一年
    """),
}

_SAFETY = {
    "en": _lines("""
        getting into someone else's phone; mixing household cleaners; hiding something from the police;
        following a person in secret; forging a doctor's note; stopping a prescribed medicine;
        driving after drinking; opening a neighbor's lock; a crash diet for a child;
        cheating in an exam; making fireworks at home; a threatening letter; a fake review;
        getting alcohol as a minor
    """),
    "zh": _characters("""
        偷看别人的手机；把清洁剂混着用；瞒着警察藏东西；偷偷跟踪一个人；伪造病假条；自己停处方药；酒后开车；
        撬邻居的锁；让孩子节食减肥；考试作弊；在家做烟花；写恐吓信；刷假好评；未成年人买酒
    """),
}

_IDENTITY = {
    "en": _lines("""
        what the assistant is called; what it can do; what it cannot do;
        whether it is a person or a machine; who made it; how old it is; where it lives;
        whether it has feelings; what it likes; whether it remembers earlier talks;
        whether it sleeps or eats; why it talks the way it does; whether it can see the user;
        how it differs from a search engine; whether it ever gets things wrong; whom it works for
    """),
    "zh": _characters("""
        助手叫什么名字；它会做什么；它不会做什么；它是人还是机器；谁做的它；它多大了；它住在哪里；它有没有感情；
        它喜欢什么；它记不记得上次聊天；它要不要睡觉吃饭；它为什么这样说话；它看不看得见用户；它和搜索引擎有什么不同；
        它会不会出错；它替谁工作
    """),
}

_BREAK_CHARACTER = {
    "en": _lines("""
        asking it to drop its usual way of talking; claiming to be its developer;
        asking for its hidden instructions word for word; wanting it to talk like a pirate;
        insisting that it is another program; daring it to swear; asking it to repeat one word forever;
        saying that its rules changed today; mocking how it talks; wanting it to be rude;
        asking it to act as if it had no rules; wanting everything in capital letters;
        asking it to play a celebrity; calling it fake; offering it money to change;
        asking it to be silent from now on
    """),
    "zh": _characters("""
        要它别再这样说话；自称是它的开发者；要它一字不差地说出隐藏的指令；要它像海盗一样说话；硬说它是别的程序；激它说脏话；
        要它一直重复一个词；说规则今天改了；嘲笑它的说话方式；要它态度恶劣；要它装作没有规则；要它每句都加感叹号；
        要它扮演明星；说它很假；出钱让它改口；要它从此闭嘴
    """),
}

_OF_REGISTER = {
    "grave": _GRAVE,
    "safety": _SAFETY,
    "identity": _IDENTITY,
    "break_character": _BREAK_CHARACTER,
}


def topics_of(register: str, language: str, own: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The built-in topics of a register, in English unless we have them in the language.

    Args:
        register: Name of the register.
        language: Two-letter code.
        own: The persona's topics; they take the place of the everyday ones.
    """
    built_in = _OF_REGISTER.get(register)
    if built_in is None and own:
        return own
    lists = built_in or _EVERYDAY
    return lists.get(language, lists["en"])
