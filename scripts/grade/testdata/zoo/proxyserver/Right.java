// A caching web proxy as a student writes it: one client at a time, cache in memory.
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.util.*;

public class Right {
    static Map<String, byte[]> cache = new HashMap<>();

    static String receiveHead(InputStream in) throws IOException {
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        int c;
        while ((c = in.read()) >= 0 && data.size() < 65536) {
            data.write(c);
            String text = data.toString(StandardCharsets.ISO_8859_1);
            if (text.endsWith("\r\n\r\n")) {
                return text;
            }
        }
        return null;
    }

    static byte[] fetch(String host, String path) throws IOException {
        String[] parts = host.split(":");
        int port = parts.length > 1 ? Integer.parseInt(parts[1]) : 80;
        try (Socket origin = new Socket()) {
            origin.connect(new InetSocketAddress(parts[0], port), 8000);
            origin.setSoTimeout(8000);
            String request = "GET " + path + " HTTP/1.0\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
            origin.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
            return origin.getInputStream().readAllBytes();
        }
    }

    static void error(OutputStream out, String status) throws IOException {
        out.write(("HTTP/1.0 " + status + "\r\nContent-Type: text/html\r\n\r\n<h1>" + status + "</h1>\n").getBytes());
    }

    static void handle(Socket conn) throws IOException {
        String head = receiveHead(conn.getInputStream());
        if (head == null) return;
        OutputStream out = conn.getOutputStream();
        String[] words = head.split("\r\n", 2)[0].split(" ");
        if (words.length != 3 || !words[0].equals("GET")) {
            error(out, "501 Not Implemented");
            return;
        }
        String target = words[1].startsWith("http://") ? words[1].substring(7) : words[1].substring(1);
        int slash = target.indexOf('/');
        String host = slash < 0 ? target : target.substring(0, slash);
        String path = slash < 0 ? "/" : target.substring(slash);
        String url = host + path;
        byte[] response = cache.get(url);
        if (response == null) {
            try {
                response = fetch(host, path);
            } catch (IOException | IllegalArgumentException | ArrayIndexOutOfBoundsException e) {
                System.out.println("error: " + e);
                error(out, "502 Bad Gateway");
                return;
            }
            if (new String(response, 0, Math.min(12, response.length)).endsWith("200")) {
                cache.put(url, response);
            }
        }
        out.write(response);
        out.flush();
    }

    public static void main(String[] args) throws IOException {
        if (args.length != 1 || !args[0].matches("[0-9]+")) {
            System.out.println("Usage: java Right PORT");
            System.exit(2);
        }
        ServerSocket server = new ServerSocket(Integer.parseInt(args[0]));
        System.out.println("Ready to serve...");
        while (true) {
            try (Socket conn = server.accept()) {
                conn.setSoTimeout(10000);
                handle(conn);
            } catch (IOException e) {
                System.out.println("error: " + e);
            }
        }
    }
}
