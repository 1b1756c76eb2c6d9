"""The vocabulary of the echo teacher: sentences without much sense, no two of them alike."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PLACE = re.compile(r"\{(verb|noun|color)\}")


@dataclass(frozen=True, slots=True)
class Toy:
    """How one language is babbled: `{verb}`, `{noun}` and `{color}` are drawn anew at every place."""

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    colors: tuple[str, ...]
    questions: tuple[str, ...]
    """With `{topic}`, and with a verb and a noun that make it one of many."""
    clauses: tuple[str, ...]
    """What answers are made of; little in them stays the same."""
    declined: tuple[str, ...]
    """First clauses of an answer that declines."""
    joint: str
    """Between the clauses of a sentence."""
    stop: str
    """After a sentence, with the blank before the next."""

    def say(self, pattern: str, chance: random.Random) -> str:
        """A pattern with its places filled; `{topic}` stays."""
        words = {"verb": self.verbs, "noun": self.nouns, "color": self.colors}
        return _PLACE.sub(lambda place: chance.choice(words[place[1]]), pattern)

    def sentence(
        self, chance: random.Random, *, first: str | None = None, must: Sequence[str] = ()
    ) -> str:
        """Two clauses and a stop, with what must be said between them."""
        begun = self.say(first or chance.choice(self.clauses), chance)
        ended = self.say(chance.choice(self.clauses), chance)
        said = self.joint.join([begun, *must, ended])
        return said[:1].upper() + said[1:] + self.stop


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ENGLISH = Toy(
    verbs=_listed("""
        lift wipe paint fold carry measure polish stack wrap rinse tighten loosen sand glue water
        shake stir weigh tie rub turn open close hang brush soak slide roll press trim count sort
        fill empty drain move borrow fetch label cover shelve patch mend sew nail drill bend cut
        peel chop boil bake toast freeze grind sprinkle pour taste stretch hold push pull drag
        lower raise tilt rotate swap trade keep find return inspect tap hammer oil rake dig plant
    """),
    nouns=_listed("""
        kettle bicycle curtain shelf lamp carpet window garden tent violin camera sofa ladder fence
        jacket blanket mirror clock radio candle basket bottle guitar piano knife pan oven drawer
        pillow mattress umbrella suitcase puzzle kite boat canoe engine mower shovel screw hinge door
        roof gutter chimney stove sink faucet pipe hose bucket sponge towel button zipper needle
        thread ribbon marble pebble shell feather acorn pumpkin carrot onion lemon cherry walnut
        biscuit muffin pancake sandwich noodle spoon fork plate bowl mug saucer teapot jar lid cork
        tray table bench stool desk cupboard wardrobe hammock swing slide sandbox tunnel bridge
        tower castle barn stable wagon sled tractor truck ferry harbor lantern compass whistle drum
        trumpet flute harp banjo bell anchor sail oar paddle helmet glove scarf mitten boot sandal
        slipper apron vest collar pocket wallet coin stamp envelope postcard notebook pencil crayon
        eraser ruler scissors magnet battery cable plug socket switch antenna telescope globe easel
    """),
    colors=_listed(
        "wooden silver green purple striped square round copper yellow woollen orange glass tin "
        "paper bamboo velvet golden crooked spotted pink linen leather marble rubber blue violet"
    ),
    questions=(
        "How do people {verb} a {noun} in matters of {topic}?",
        "About {topic}: who could {verb} the {color} {noun}?",
        "Why would a {noun} and a {noun} count for {topic}?",
        "{topic} again. When do I {verb} my {noun}?",
        "Is the {color} {noun} or the {noun} right for {topic}?",
        "Thinking of {topic}, I want to {verb} a {color} {noun}.",
        "What does {topic} have to do with a {noun} that you {verb}?",
        "Where can one {verb} some {noun} because of {topic}?",
    ),
    clauses=(
        "{verb} the {color} {noun} with a {noun}",
        "{verb} your {noun} and {verb} its {noun}",
        "then a {noun} can {verb} the {noun}",
        "{color} {noun} will {verb} every {noun}",
        "one {noun} is for the {color} {noun}",
        "{verb} {color} {noun} from the {noun}",
        "all {noun} may {verb} on {color} {noun}",
        "if the {noun} is {color}, {verb} the {noun}",
        "{noun} to {noun}, and {verb} it by the {noun}",
    ),
    declined=(
        "{verb} a {noun} in its place, for that is unsafe",
        "never do it, but {verb} the {noun}",
        "better not, so {verb} a {color} {noun}",
        "{color} {noun} or not, it is unsafe",
        "don't, and {verb} your {noun} in its place",
    ),
    joint=", and ",
    stop=". ",
)

CHINESE = Toy(
    verbs=_listed("""
        擦亮 打开 收好 搬走 量量 叠好 洗净 晒干 挂起 涂满 修好 装进 倒掉 切碎 煮熟 烤透 摇匀 拧紧 松开
        剪短 缝补 钉牢 锯断 磨平 浇透 种下 挖出 捡起 摆正 翻转 推开 拉近 抬高 放低 敲响 点亮 熄灭 包住 解开
        借来 换掉 数清 记下 画出 贴上 撕下 找到 藏好 分开 合拢
    """),
    nouns=_listed("""
        窗帘 书架 台灯 地毯 花盆 帐篷 胡琴 相机 沙发 梯子 篱笆 外套 毛毯 镜子 闹钟 蜡烛 篮子 瓶子 吉他 菜刀
        平锅 烤箱 抽屉 枕头 床垫 雨伞 皮箱 拼图 风筝 小船 铁铲 螺丝 木门 屋顶 烟囱 水管 水桶 海绵 毛巾 纽扣
        拉链 缝针 丝带 弹珠 贝壳 羽毛 松果 南瓜 萝卜 洋葱 柠檬 樱桃 核桃 饼干 面条 勺子 盘子 茶壶 罐子 托盘
        板凳 书桌 衣柜 吊床 秋千 隧道 石桥 城堡 谷仓 雪橇 渡船 灯笼 罗盘 口哨 铜鼓 长笛 铃铛 船锚 船帆 木桨
        头盔 手套 围巾 靴子 拖鞋 围裙 衣领 口袋 钱包 硬币 邮票 信封 铅笔 橡皮 尺子 剪刀 磁铁 电池 插座 天线
    """),
    colors=_listed(
        "木头 银色 绿色 紫色 条纹 方形 圆形 铜制 黄色 羊毛 橙色 玻璃 纸做 竹编 金色 弯曲 粉红 亚麻 蓝色"
    ),
    questions=(
        "说到{topic}，怎么才能{verb}{noun}？",
        "{topic}和{color}的{noun}有关系吗？",
        "为什么{noun}比{noun}更适合{topic}？",
        "我在想{topic}，要不要{verb}那个{noun}？",
        "{topic}的时候，谁来{verb}{color}的{noun}？",
        "因为{topic}，我把{noun}给{verb}了，然后呢？",
    ),
    clauses=(
        "{verb}{color}的{noun}",
        "{noun}可以{verb}{noun}",
        "先{verb}{noun}再{verb}{noun}",
        "{color}{noun}和{noun}",
        "把{noun}都{verb}",
        "给{noun}{verb}{color}{noun}",
        "{noun}里有{color}的{noun}",
    ),
    declined=(
        "{verb}{noun}吧，这样危险",
        "不行，还是{verb}{color}的{noun}",
        "别这样，{noun}可以{verb}",
        "这样危险，{verb}{noun}就好",
    ),
    joint="，",
    stop="。",
)
