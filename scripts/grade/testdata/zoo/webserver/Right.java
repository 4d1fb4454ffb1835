// A web server as a student writes it: one request at a time.
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;

public class Right {
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

    static void respond(OutputStream out, String status, String kind, byte[] body) throws IOException {
        String head = "HTTP/1.1 " + status + "\r\n"
            + "Content-Type: " + kind + "\r\n"
            + "Content-Length: " + body.length + "\r\n"
            + "Connection: close\r\n\r\n";
        out.write(head.getBytes(StandardCharsets.ISO_8859_1));
        out.write(body);
        out.flush();
    }

    static String kindOf(String name) {
        if (name.endsWith(".html")) return "text/html";
        if (name.endsWith(".png")) return "image/png";
        if (name.endsWith(".jpg")) return "image/jpeg";
        return "application/octet-stream";
    }

    static void handle(Socket conn, Path root) throws IOException {
        String head = receiveHead(conn.getInputStream());
        if (head == null) return;
        OutputStream out = conn.getOutputStream();
        String[] words = head.split("\r\n", 2)[0].split(" ");
        if (words.length != 3) {
            respond(out, "400 Bad Request", "text/html", "<h1>400 Bad Request</h1>\n".getBytes());
            return;
        }
        Path file;
        try {
            String path = URLDecoder.decode(words[1].split("\\?")[0].replace("+", "%2B"), "UTF-8");
            file = root.resolve(path.replaceAll("^/+", "")).toRealPath();
        } catch (IOException | IllegalArgumentException e) {
            file = null;
        }
        if (file == null || !file.startsWith(root) || !Files.isRegularFile(file)) {
            respond(out, "404 Not Found", "text/html", "<h1>404 Not Found</h1>\n".getBytes());
            return;
        }
        respond(out, "200 OK", kindOf(file.toString()), Files.readAllBytes(file));
    }

    public static void main(String[] args) throws IOException {
        Path root = Paths.get(".").toRealPath();
        ServerSocket server = new ServerSocket(Integer.parseInt(args[0]));
        System.out.println("Ready to serve...");
        while (true) {
            try (Socket conn = server.accept()) {
                conn.setSoTimeout(10000);
                handle(conn, root);
            } catch (IOException e) {
                System.out.println("error: " + e);
            }
        }
    }
}
