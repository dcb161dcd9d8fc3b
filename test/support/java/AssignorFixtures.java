import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractPartitionAssignor;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Prints, as JSON, what Kafka's own assignors say of themselves when they join, and how they divide the partitions of
 * random groups. {@code packages/kafka/test/fixtures/assignors/README.md} tells how the fixture is made from it.
 */
public final class AssignorFixtures {
  private static final int GENERATION = 7;
  private static final List<TopicPartition> OWNED =
      List.of(new TopicPartition("a", 0), new TopicPartition("a", 2), new TopicPartition("b.c", 1));

  public static void main(String[] args) {
    System.out.println("{\"userData\":{");
    System.out.println("\"sticky\":" + userData(new StickyAssignor()) + ",");
    System.out.println("\"cooperative-sticky\":" + userData(new CooperativeStickyAssignor()) + "},");
    System.out.println("\"subscription\":[");
    for (short version = 0; version <= 3; version++) {
      Subscription subscription =
          new Subscription(List.of("a", "b.c"), ByteBuffer.wrap(new byte[] {1, 2}), OWNED, GENERATION, Optional.empty());
      System.out.println(hex(ConsumerProtocol.serializeSubscription(subscription, version)) + (version < 3 ? "," : "],"));
    }
    System.out.println("\"groups\":[");
    Random random = new Random(5);
    for (int i = 0; i < 100; i++) System.out.println(group(random) + (i < 99 ? "," : "]}"));
  }

  @SuppressWarnings("removal")
  private static String userData(ConsumerPartitionAssignor assignor) {
    String before = hex(assignor.subscriptionUserData(Set.of("a")));
    assignor.onAssignment(new Assignment(OWNED), new ConsumerGroupMetadata("g", GENERATION, "m", Optional.empty()));
    return "[" + before + "," + hex(assignor.subscriptionUserData(Set.of("a"))) + "]";
  }

  private static String group(Random random) {
    Map<String, List<PartitionInfo>> topics = new HashMap<>();
    List<String> counts = new ArrayList<>();
    for (int topic = 0; topic < 4; topic++) {
      List<PartitionInfo> partitions = new ArrayList<>();
      int count = random.nextInt(6);
      for (int partition = 0; partition < count; partition++) {
        partitions.add(new PartitionInfo("t" + topic, partition, null, new Node[0], new Node[0]));
      }
      if (count > 0) topics.put("t" + topic, partitions);
      counts.add(String.valueOf(count));
    }
    Map<String, Subscription> subscriptions = new LinkedHashMap<>();
    List<String> members = new ArrayList<>();
    int size = 1 + random.nextInt(5);
    for (int member = 0; member < size; member++) {
      List<String> subscribed = new ArrayList<>();
      for (int topic = 0; topic < 4; topic++) if (random.nextBoolean()) subscribed.add("t" + topic);
      String instance = random.nextInt(3) == 0 ? "i" + (member * 3) % 7 : null;
      String id = "m" + (member * 2 + 3) % 5;
      Subscription subscription = new Subscription(subscribed);
      subscription.setGroupInstanceId(Optional.ofNullable(instance));
      subscriptions.put(id, subscription);
      members.add(List.of(quoted(id), quoted(instance), quoted(String.join(" ", subscribed))).toString());
    }
    return "{\"counts\":" + counts + ",\"members\":" + members
        + ",\"roundrobin\":" + divided(new RoundRobinAssignor(), topics, subscriptions)
        + ",\"range\":" + divided(new RangeAssignor(), topics, subscriptions) + "}";
  }

  private static String divided(
      AbstractPartitionAssignor assignor,
      Map<String, List<PartitionInfo>> topics,
      Map<String, Subscription> subscriptions) {
    List<String> members = new ArrayList<>();
    new TreeMap<>(assignor.assignPartitions(topics, subscriptions)).forEach((member, partitions) -> {
      List<String> names = new ArrayList<>();
      for (TopicPartition each : partitions) names.add(each.topic() + "-" + each.partition());
      names.sort(null);
      members.add(quoted(member) + ":" + quoted(String.join(" ", names)));
    });
    return "{" + String.join(",", members) + "}";
  }

  private static String quoted(String text) {
    return text == null ? "null" : "\"" + text + "\"";
  }

  private static String hex(ByteBuffer buffer) {
    if (buffer == null) return "null";
    byte[] bytes = new byte[buffer.remaining()];
    buffer.duplicate().get(bytes);
    return quoted(HexFormat.of().formatHex(bytes));
  }
}
