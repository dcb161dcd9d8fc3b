import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ConsumerProtocolAssignment;
import org.apache.kafka.common.message.ConsumerProtocolSubscription;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/** What Kafka's own classes say of the protocol, for our declarations to be compared with. */
public final class ProtocolCheck {
  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "definitions" -> definitions(Arrays.copyOfRange(args, 1, args.length));
      case "headers" -> headers();
      case "errors" -> errors();
      case "messages" -> messages();
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  /** A line for each name: Kafka's definition of that message in base64. */
  private static void definitions(String[] names) throws Exception {
    for (String name : names) {
      try (InputStream file = Message.class.getResourceAsStream("/common/message/" + name + ".json")) {
        System.out.println(Base64.getEncoder().encodeToString(file.readAllBytes()));
      }
    }
  }

  /** A line for each version of each API: key, version, and the versions of its headers. */
  private static void headers() {
    for (ApiMessageType api : ApiMessageType.values()) {
      for (short version = api.lowestSupportedVersion(); version <= api.highestSupportedVersion(true); version++) {
        System.out.println(
            api.apiKey() + " " + version + " " + api.requestHeaderVersion(version) + " "
                + api.responseHeaderVersion(version));
      }
    }
  }

  /** A line for each error: code, name, and whether its exception is one to retry. */
  private static void errors() {
    for (Errors error : Errors.values()) {
      System.out.println(
          error.code() + " " + error.name() + " " + (error.exception() instanceof RetriableException));
    }
  }

  /**
   * Reads each message of the standard input (a line each: type, version, bytes in hexadecimal), writes it again, and
   * prints a line for each that does not come out as it went in, then the count of all.
   */
  private static void messages() throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    int count = 0;
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] parts = line.split(" ", 3);
      short version = Short.parseShort(parts[1]);
      byte[] given = HexFormat.of().parseHex(parts[2]);
      count++;
      try {
        Message message = messageOf(parts[0]);
        ByteBuffer input = ByteBuffer.wrap(given);
        message.read(new ByteBufferAccessor(input), version);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer written = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(written), cache, version);
        if (input.hasRemaining()) {
          out.println(parts[0] + " v" + version + ": " + input.remaining() + " bytes left of " + line);
        } else if (!Arrays.equals(given, written.array())) {
          out.println(parts[0] + " v" + version + ": bytes differ: " + line);
        }
      } catch (RuntimeException error) {
        out.println(parts[0] + " v" + version + ": " + error + ": " + line);
      }
    }
    out.println(count);
    out.flush();
  }

  /** `request-3` and `response-3` are those of the API with key 3; all else is a name. */
  private static Message messageOf(String type) {
    if (type.startsWith("request-")) return ApiMessageType.fromApiKey(keyOf(type)).newRequest();
    if (type.startsWith("response-")) return ApiMessageType.fromApiKey(keyOf(type)).newResponse();
    return switch (type) {
      case "RequestHeader" -> new RequestHeaderData();
      case "ResponseHeader" -> new ResponseHeaderData();
      case "ConsumerProtocolSubscription" -> new ConsumerProtocolSubscription();
      case "ConsumerProtocolAssignment" -> new ConsumerProtocolAssignment();
      default -> throw new IllegalArgumentException(type);
    };
  }

  private static short keyOf(String type) {
    return Short.parseShort(type.substring(type.indexOf('-') + 1));
  }
}
